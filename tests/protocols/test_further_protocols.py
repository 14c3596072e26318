"""Clothes, views and vehicles: every command finds the number of an independent loop."""

import dataclasses
import html
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import vi_images
from further_trees import FURTHER_MAKERS
from paths import (
    FEW,
    PATHS,
    hard,
    make_config,
    noisy,
    torchreid_scores,
    torchreid_sides,
    write_weights,
)

import torchreid_adv as adv
from torchreid_adv import config
from torchreid_adv.cli import main
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.runs.inputs import configured_dataset, load_spec
from torchreid_adv.runs.torchreid_checks import ready
from torchreid_adv.standard.versions import VERSIONS

AS_MARKET = ("veri776", "veri_wild", "occluded_duke", "ltcc", "ag_reid_a2g", "ag_reid_g2a")
IMAGES = (*AS_MARKET, "ltcc_cc", "ltcc_sc", "prcc", "prcc_same", "celeb_reid", "vehicleid")
QUICK = ("ltcc_cc", "prcc", "vehicleid")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)
    monkeypatch.setitem(VERSIONS, "lite", FEW)


def write(name, root):
    """Write a set whose images are hard to tell apart, and more of them than its tree has."""
    root.mkdir(parents=True)
    tree = FURTHER_MAKERS[name](root)
    for number, file in enumerate(tree.files()):
        pid = int(re.search(r"\d+", Path(file).stem)[0]) if name != "vehicleid" else number // 3
        pid = int(Path(file).parent.name) if name.startswith("prcc") else pid
        hard(pid, number % 5, number).save(root / file)
    return tree


def clothes_of(name, path):
    """Return what is worn, as the file names of a set tell it."""
    stem = Path(path).stem
    return stem.split("_c")[0] if name.startswith("ltcc") else ""


def loop(name, sides):
    """Return mAP and Rank-1 by the published rules, query by query."""
    (query, pids, camids, names), (gallery, g_pids, g_camids, g_names) = sides
    distances = torch.cdist(query, gallery).numpy()
    drawn = name.startswith("prcc") or name == "vehicleid"
    precisions, first = [], []
    for trial in range(10 if drawn else 1):
        columns = list(range(len(g_names)))
        if drawn:
            generator = random.Random(trial)
            columns = [
                generator.choice(sorted(np.flatnonzero(g_pids == pid), key=lambda n: g_names[n]))
                for pid in sorted(set(g_pids.tolist()))
            ]
        for q in range(len(query)):
            if name == "vehicleid" and names[q] in [g_names[n] for n in columns]:
                continue  # it is the gallery image of its vehicle
            people = []
            for n in sorted(columns, key=lambda n, q=q: distances[q, n]):
                same = g_pids[n] == pids[q]
                worn = clothes_of(name, g_names[n]) == clothes_of(name, names[q])
                camera = g_camids[n] == camids[q] and not drawn and "celeb" not in name
                other = (name.endswith("_cc") and worn) or (name.endswith("_sc") and not worn)
                if not (same and (camera or other)):
                    people.append(same)
            hits = np.flatnonzero(people)
            if len(hits):
                precisions.append(np.mean([(i + 1) / (h + 1) for i, h in enumerate(hits)]))
                first.append(hits[0] == 0)
    return {"mAP": np.mean(precisions), "1": np.mean(first)}


def check(name, tmp_path):
    write(name, tmp_path / "data")
    weights = write_weights(tmp_path / "tiny.pth")
    cfg = make_config(tmp_path / "data", weights, name, tmp_path / "out")
    sides = torchreid_sides(cfg)
    wanted = loop(name, sides)
    if name in AS_MARKET:
        assert torchreid_scores(sides)["mAP"] == pytest.approx(wanted["mAP"])
    for path, scores in PATHS.items():
        if name == "vehicleid" and path == "standard":
            with config.using(cfg), pytest.raises(ConfigError, match="counts every query equally"):
                scores(cfg, tmp_path / "out")
            continue
        with config.using(cfg):
            measures, _ = scores(cfg, tmp_path / "out")
        found = {"mAP": measures["mAP"], "1": measures["cmc"]["1"]}
        assert found == pytest.approx(wanted, abs=1e-6), (name, path)


@pytest.mark.parametrize("name", QUICK)
def test_every_command_scores_as_the_published_rules(name, tmp_path):
    check(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in IMAGES if name not in QUICK])
def test_every_command_scores_as_the_published_rules_of_all_sets(name, tmp_path):
    check(name, tmp_path)


@pytest.mark.parametrize("name", ["ccvid", "ccvid_cc", "ccvid_sc"])
def test_tracklets_are_scored_by_what_is_worn(name, tmp_path):
    tree = write(name, tmp_path / "data")
    weights = write_weights(tmp_path / "tiny.pth")
    keys = {"data.type": "video", "video.seq_len": 2, "video.sample_method": "evenly"}
    cfg = make_config(tmp_path / "data", weights, name, tmp_path / "out", **keys)
    with config.using(cfg), ready(cfg):
        data = configured_dataset(cfg, name, tracklets=True)
        model = load_spec(cfg, ModelSpec("tiny", "tiny", str(weights)))
    worn = {}
    for lines in tree.lists:
        for line in (tree.root / lines).read_text().splitlines():
            place, pid, clothes = line.split("\t")
            worn[place] = pid, clothes
    for record in (*data.query, *data.gallery):
        place = "/".join(record.path.parts[-3:-1])
        pid, clothes = worn[place]
        assert record.clothes == f"{int(pid)}_{clothes}"
    query, gallery = (adv.extract(model, side) for side in (data.query, data.gallery))
    distances = torch.cdist(
        *(torch.nn.functional.normalize(s.values.double(), dim=1) for s in (query, gallery))
    )
    precisions = []
    for q, record in enumerate(data.query):
        people = []
        for n in torch.argsort(distances[q], stable=True).tolist():
            other = data.gallery[n]
            same, alike = other.pid == record.pid, other.clothes == record.clothes
            junk = other.camid == record.camid
            junk |= alike if name.endswith("_cc") else (not alike) and name.endswith("_sc")
            if not (same and junk):
                people.append(same)
        hits = np.flatnonzero(people)
        if len(hits):
            precisions.append(np.mean([(i + 1) / (h + 1) for i, h in enumerate(hits)]))
    assert adv.evaluate(model, data).mAP == pytest.approx(np.mean(precisions), abs=1e-6)
    with config.using(cfg):
        measures, _ = PATHS["engine"](cfg, tmp_path / "engine")
    assert measures["mAP"] == pytest.approx(np.mean(precisions), abs=1e-6)


@pytest.mark.parametrize("name", ["ltcc_cc", "vehicleid", "ag_reid_a2g", "celeb_reid"])
def test_the_adversarial_version_is_scored_by_the_same_rules(name, tmp_path):
    write(name, tmp_path / "data")
    weights = write_weights(tmp_path / "tiny.pth")
    data = adv.load_dataset(name, root=tmp_path / "data")
    model = adv.load_model("tiny", weights, size=(32, 16))
    stored = adv.attack_dataset(model, data, adv.build_attack("fgsm", eps=12 / 255), out=tmp_path)
    wanted = adv.evaluate(model, stored)
    folder = tmp_path / name / "adversarial"
    by_manifest = adv.load_dataset("adversarial", folder=str(folder))
    by_list = adv.load_dataset(str(folder / f"{name}_adversarial.csv"), root=tmp_path)
    for again in (by_manifest, by_list):
        assert again.protocol == data.protocol
        found = adv.evaluate(model, again)
        assert found.mAP == pytest.approx(wanted.mAP, abs=1e-9)
        assert np.allclose(found.cmc, wanted.cmc)
        told = [{(r.pid, r.clothes, r.view) for r in one.gallery} for one in (again, data)]
        assert told[0] == told[1]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ltcc_cc", "by the query's own camera or in the query's clothes are left out"),
        ("ltcc_sc", "by the query's own camera or in other clothes are left out"),
        ("celeb_reid", "No image of the same person is left out"),
        ("vehicleid", "An image is not listed as its own match"),
        ("ltcc", "Images of the same person by the query's own camera are left out"),
    ],
)
def test_the_report_says_by_which_rules(name, said, tmp_path):
    write(name, tmp_path / "data")
    weights = write_weights(tmp_path / "tiny.pth")
    data = adv.load_dataset(name, root=tmp_path / "data")
    model = adv.load_model("tiny", weights, size=(32, 16))
    adv.attack_dataset(model, data, adv.build_attack("fgsm", eps=12 / 255), out=tmp_path)
    page = html.unescape((tmp_path / "report.html").read_text())
    assert said in page
    assert (f"Scored by the protocol {data.protocol}: " in page) == bool(data.protocol)


@pytest.mark.parametrize("name", ["ltcc_cc", "prcc", "celeb_reid"])
def test_a_standard_result_by_own_rules_is_verified(name, tmp_path, monkeypatch):
    monkeypatch.setitem(VERSIONS, "lite", dataclasses.replace(FEW, bootstrap=200))
    write(name, tmp_path / "data")
    weights = write_weights(tmp_path / "tiny.pth")
    cfg = make_config(tmp_path / "data", weights, name, tmp_path / "out")
    with config.using(cfg):
        PATHS["standard"](cfg, tmp_path / "out")
    (result,) = (tmp_path / "out").rglob("standard.json")
    assert main(["verify", str(result.parent), "--root", str(tmp_path / "data")]) == 0


@pytest.mark.parametrize("name", ["vehicleid", "prcc", "ltcc_sc", "sysu_mm01"])
def test_an_attack_by_own_rules_is_verified(name, tmp_path, monkeypatch):
    if name == "sysu_mm01":
        monkeypatch.setattr(vi_images, "image", noisy)
        vi_images.write_sysu(tmp_path / "data")
    else:
        write(name, tmp_path / "data")
    weights = write_weights(tmp_path / "tiny.pth")
    cfg = make_config(tmp_path / "data", weights, name, tmp_path / "out")
    with config.using(cfg):
        PATHS["run"](cfg, tmp_path / "out")
    assert main(["verify", str(tmp_path / "out/run"), "--root", str(tmp_path / "data")]) == 0
