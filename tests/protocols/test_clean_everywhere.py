"""``clean`` is torchreid's number, or the published one, of every data set in every command."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from bupt import write_bupt
from paths import (
    FEW,
    PATHS,
    SETS,
    make_config,
    published_scores,
    torchreid_scores,
    torchreid_sides,
    write_all,
    write_weights,
)
from PIL import Image
from trees import MAKERS
from vcm import write_vcm

import torchreid_adv as adv
from torchreid_adv import config
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.runs.inputs import configured_dataset, load_spec
from torchreid_adv.runs.torchreid_checks import ready
from torchreid_adv.standard.versions import VERSIONS

OWN = ("sysu", "regdb", "llcm")  # data sets with a protocol of their own
FURTHER = ("cuhk01", "cuhk02", "grid", "ilids", "prid", "sensereid", "university1652")
FURTHER += ("viper",)  # of torchreid, beside those of SETS; CUHK-SYSU has training images alone
IMAGES = (".jpg", ".jpeg", ".png", ".bmp")
QUICK = ("cuhk03 metric", "sysu_mm01", "adversarial llcm_v2i")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    with pytest.MonkeyPatch.context() as patch:
        write_all(folder / "data", patch)
    write_weights(folder / "tiny.pth")
    return folder


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Small budgets of the standard evaluation; its clean scores are what is looked at."""
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)  # asks pip
    monkeypatch.setitem(VERSIONS, "lite", FEW)


def adversarial_of(place, name):
    """Return the folder of an attacked data set, made once."""
    folder = place / "stored" / name
    if not folder.exists():
        data = adv.load_dataset(name, root=place / "data")
        model = adv.load_model("tiny", place / "tiny.pth", size=(32, 16))
        attack = adv.build_attack("fgsm", eps=12 / 255)
        adv.attack_dataset(model, data, attack, out=folder)
    return folder / name / "adversarial"


def configured(place, label, out):
    name, *_ = label.split()
    keys = dict(SETS.get(label, {}))
    if name == "adversarial":
        keys["adv.data.adversarial_dir"] = str(adversarial_of(place, label.split()[1]))
    return make_config(place / "data", place / "tiny.pth", name, out, **keys)


def expected(cfg, label):
    """Return what independent code finds, and which of it every path has to find, too."""
    sides, name = torchreid_sides(cfg), label.split()[-1]
    if name.startswith(OWN):
        return published_scores(sides, name)
    scores = torchreid_scores(sides)
    if "metric" in label:  # torchreid draws its match curve with an unseeded generator
        return {"mAP": scores["mAP"]}
    return scores


def check(place, out, label, counted):
    """Hold every path to the expected scores and all paths to each other."""
    cfg = configured(place, label, out)
    wanted, found = expected(cfg, label), {}
    for path, scores in PATHS.items():
        with config.using(cfg):
            measures, facts = scores(cfg, out)
        found[path] = {"mAP": measures["mAP"], **measures["cmc"]}
        for key, value in wanted.items():
            assert found[path][key] == pytest.approx(value, abs=1e-6), (label, path, key)
        protocol = label.split()[-1].split("_i2v")[0].split("_v2i")[0].removesuffix("_indoor")
        own = protocol if protocol.startswith(OWN) else "market1501"
        own = "cuhk03" if "metric" in label else own
        assert facts is None or facts["name"] == own, (label, path)
        counted.append((label, path))
    for one, other in itertools.pairwise(found.values()):
        for key in set(one) & set(other):
            assert one[key] == pytest.approx(other[key], abs=1e-6), (label, key)


def test_clean_is_the_independent_number(place, tmp_path):
    counted = []
    for label in QUICK:
        check(place, tmp_path / label, label, counted)
    assert len(counted) == len(QUICK) * len(PATHS) == 15


@pytest.mark.slow
def test_clean_is_the_independent_number_of_all_sets(place, tmp_path):
    counted = []
    for label in SETS:
        check(place, tmp_path / label, label, counted)
    print(f"{len(counted)} cells: {len(SETS)} data sets in {len(PATHS)} ways")
    assert len(counted) == len(SETS) * len(PATHS) == 85


def made_noisy(root):
    """Give every image below a folder noise of its own, so that no two are equally near."""
    for number, path in enumerate(sorted(p for p in root.rglob("*") if p.suffix in IMAGES)):
        draws, image = np.random.default_rng(number), np.asarray(Image.open(path).convert("RGB"))
        image = image / 2 + 64 + draws.normal(0, 40, image.shape) + draws.normal(0, 30, 3)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FURTHER)
def test_clean_is_torchreid_s_of_every_other_set_of_torchreid(tmp_path, name):
    (tmp_path / "data").mkdir()
    MAKERS[name](tmp_path / "data")
    made_noisy(tmp_path / "data")
    write_weights(tmp_path / "tiny.pth")
    counted = []
    check(tmp_path, tmp_path / "out", name, counted)
    assert len(counted) == len(PATHS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["virtual_b", "virtual_c", "virtual_c_long"])
def test_clean_is_torchreid_s_of_every_style_of_virtual_people(place, tmp_path, name):
    counted = []
    check(place, tmp_path, name, counted)
    assert len(counted) == len(PATHS)


def write_tracklets(root):
    """BUPTCampus whose gallery has the queries' own camera, too, and HITSZ-VCM; noisy frames."""
    write_bupt(root, people=4)
    for lines in (root / "BUPTCampus" / "query.txt", root / "BUPTCampus" / "gallery.txt"):
        text = lines.read_text().splitlines()
        both = [line.replace("LS3", "G25") for line in text if "gallery" in lines.name]
        lines.write_text("\n".join([*text, *both]) + "\n")
    write_vcm(root, frames=4)
    draws = np.random.default_rng(5)
    for path in sorted(root.rglob("*.jpg")):
        image = np.asarray(Image.open(path)).astype(float)
        image = image + draws.normal(0, 60, image.shape) + draws.normal(0, 40, 3)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)


def slow_map(query, gallery, *, same_camera):
    """Return mAP by a loop over queries; ``same_camera``: their own camera does not count."""
    precisions, distances = [], torch.cdist(query.values.double(), gallery.values.double())
    for row, order in enumerate(torch.argsort(distances, dim=1, stable=True).tolist()):
        own = int(query.pids[row]), int(query.camids[row])
        others = [(int(gallery.pids[n]), int(gallery.camids[n])) for n in order]
        people = [pid for pid, camid in others if not (same_camera and (pid, camid) == own)]
        hits = [place for place, pid in enumerate(people) if pid == own[0]]
        if hits:
            precisions.append(np.mean([(i + 1) / (place + 1) for i, place in enumerate(hits)]))
    return np.mean(precisions)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bupt_campus_i2v", "bupt_campus_v2i", "vcm_i2v", "vcm_v2i"])
def test_clean_of_tracklets_is_that_of_a_slow_loop(place, tmp_path, name):
    write_tracklets(tmp_path / "data")
    keys = {"data.type": "video", "video.seq_len": 2, "video.sample_method": "grid"}
    keys |= {"adv.video.min_length": 2, "sampler.train_sampler": "RandomSampler"}
    cfg = make_config(tmp_path / "data", place / "tiny.pth", name, tmp_path, **keys)
    with config.using(cfg), ready(cfg):
        data = configured_dataset(cfg, name, tracklets=True)
        model = load_spec(cfg, ModelSpec("tiny", "tiny", str(place / "tiny.pth")))
    sides = [adv.extract(model, data.side(side)) for side in ("query", "gallery")]
    unit = [
        replace(side, values=torch.nn.functional.normalize(side.values, dim=1)) for side in sides
    ]
    expected = slow_map(*unit, same_camera=name.startswith("vcm"))
    assert name.startswith("vcm") or expected != slow_map(*unit, same_camera=True)
    assert adv.evaluate(model, data).mAP == pytest.approx(expected, abs=1e-6)
    for path in ("run", "engine"):
        with config.using(cfg):
            measures, _ = PATHS[path](cfg, tmp_path / path)
        assert measures["mAP"] == pytest.approx(expected, abs=1e-6), path
