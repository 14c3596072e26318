"""Own sets score as torchreid, by every command; their adversarial version is a list itself."""

import dataclasses
import json

import numpy as np
import pytest
from own_sets import list_tree
from paths import (
    FEW,
    PATHS,
    SIZE,
    at,
    hard,
    make_config,
    torchreid_scores,
    torchreid_sides,
    write_weights,
)

import torchreid_adv as adv
from torchreid_adv import config
from torchreid_adv.cli import main
from torchreid_adv.data.own.entries import forget_all
from torchreid_adv.errors import DataError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.standard.versions import VERSIONS

HEAD = ("path", "pid", "camid", "split")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)
    monkeypatch.setitem(VERSIONS, "lite", FEW)


def write_shop(folder, pids="abcdef"):
    """Write a list of people who are not easily found, and return it."""
    rows = [HEAD]
    for number, pid in enumerate(pids):
        train = number < 2
        for camera in range(3):
            for index in range(2):
                side = "train" if train else "gallery" if index else "query"
                path = folder / "crops" / f"{pid}-{camera}-{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                hard(number, camera, index).save(path)
                rows.append((f"crops/{path.name}", pid, f"door {camera}", side))
    (folder / "shop.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    return folder / "shop.csv"


def flags(cfg_keys):
    return [str(part) for pair in cfg_keys.items() for part in pair]


def test_every_command_scores_a_list_as_torchreid_does(tmp_path):
    path, weights = write_shop(tmp_path), write_weights(tmp_path / "tiny.pth")
    cfg = make_config(tmp_path / "data", weights, str(path), tmp_path / "out")
    assert cfg.data.targets == ["shop"]
    wanted = torchreid_scores(torchreid_sides(cfg))
    for name, scores in PATHS.items():
        with config.using(cfg):
            measures, _ = scores(cfg, tmp_path / "out")
        found = {"mAP": measures["mAP"], **measures["cmc"]}
        assert found == pytest.approx({**found, **wanted}, abs=1e-6), name


def test_the_adversarial_version_is_a_list_with_the_same_people(tmp_path):
    path, weights = write_shop(tmp_path), write_weights(tmp_path / "tiny.pth")
    data = adv.load_dataset(str(path), root=tmp_path / "data")
    model = adv.load_model("tiny", weights, size=SIZE)
    attack = adv.build_attack("fgsm", eps=12 / 255)
    stored = adv.attack_dataset(model, data, attack, out=tmp_path / "run")
    again_path = tmp_path / "run/shop/adversarial/shop_adversarial.csv"
    again = adv.load_dataset(str(again_path), root=tmp_path / "data")
    assert again.name == "shop_adversarial"
    assert again.names == data.names  # words, not their numbers
    for side in ("train", "query", "gallery"):
        told = [
            [(r.path.read_bytes(), r.pid, r.camid) for r in one.side(side)]
            for one in (stored, again)
        ]
        assert told[0] == told[1], side
        assert [r.path.stem for r in again.side(side)] == [r.path.stem for r in data.side(side)]
    results = json.loads((tmp_path / "run/results.json").read_text())["targets"]["shop"]
    assert results["adversarial"]["mAP"] < results["clean"]["mAP"]
    assert adv.evaluate(model, again).mAP == pytest.approx(results["adversarial"]["mAP"], abs=1e-9)


def test_the_command_line_takes_a_list_and_its_adversarial_version(tmp_path, monkeypatch, capfd):
    path, weights = write_shop(tmp_path), write_weights(tmp_path / "tiny.pth")
    monkeypatch.chdir(tmp_path)
    keys = {
        "model.name": "tiny",
        "model.pretrained": False,
        "model.load_weights": weights,
        "data.height": SIZE[0],
        "data.width": SIZE[1],
        "data.workers": 0,
        "use_gpu": False,
        "adv.plugins": "['scripts.tiny_model']",
        "adv.attack.name": "fgsm",
        "data.save_dir": "out",
    }
    common = ["--root", "data", *flags(keys)]
    assert main(["attack-gallery", "-t", path.name, *common]) == 0
    assert main(["verify", "out", "-t", path.name, *common]) == 0
    assert "Scored again" in capfd.readouterr().out
    config.forget()
    forget_all()
    assert main(["verify", "out", "--root", "data"]) == 6
    said = capfd.readouterr().err
    assert "outside of the data root 'data'" in said
    assert said.rstrip().endswith("give it as the run had it, such as -t people.csv")
    assert main(["verify", "out", "-t", path.name, "--root", "data"]) == 0  # without its model
    said = capfd.readouterr().out
    assert "Files checked" in said
    assert "were not checked" not in said
    assert main(["verify", "out/shop/adversarial", "-t", path.name, "--root", "data"]) == 0
    stored = "out/shop/adversarial/shop_adversarial.csv"
    keys["test.evaluate"] = True
    keys["data.save_dir"] = "again"
    assert main(["train", "-s", stored, "-t", stored, "--root", "data", *flags(keys)]) == 0
    results = json.loads((tmp_path / "out/results.json").read_text())["targets"]["shop"]
    assert f"mAP: {results['adversarial']['mAP']:.1%}" in capfd.readouterr().out


def test_a_list_is_trained_on_by_torchreid_s_engine(tmp_path):
    tree = list_tree(tmp_path / "data")
    for number, file in enumerate(tree.files()):
        hard(number // 2, number % 3, number).save(tree.root / file)
    weights = write_weights(tmp_path / "tiny.pth")
    name = tree.entry(tree.root)
    cfg = make_config(tmp_path / "root", weights, name, tmp_path / "out", train__max_epoch=1)
    from torchreid_adv.engines.trained import train_quietly

    engine = train_quietly(at(cfg, model__load_weights=""))
    assert np.isfinite(engine.results["people"].mAP)


def test_a_list_that_was_changed_by_hand_is_a_fault(tmp_path, capfd):
    path, weights = write_shop(tmp_path), write_weights(tmp_path / "tiny.pth")
    data = adv.load_dataset(str(path), root=tmp_path / "data")
    model = adv.load_model("tiny", weights, size=SIZE)
    adv.attack_dataset(model, data, adv.build_attack("fgsm", eps=12 / 255), out=tmp_path / "run")
    stored = tmp_path / "run/shop/adversarial"
    assert main(["verify", str(stored), "--root", str(tmp_path / "data")]) == 0
    written = stored / "shop_adversarial.csv"
    written.write_text(written.read_text().replace("door 1", "door 2"))
    assert main(["verify", str(stored), "--root", str(tmp_path / "data")]) == 6
    assert "shop_adversarial.csv: is not the list of the images" in capfd.readouterr().err


def test_the_standard_evaluation_of_a_list_is_verified(tmp_path, monkeypatch):
    monkeypatch.setitem(VERSIONS, "lite", dataclasses.replace(FEW, bootstrap=200))
    path, weights = write_shop(tmp_path), write_weights(tmp_path / "tiny.pth")
    cfg = make_config(tmp_path / "data", weights, str(path), tmp_path / "out")
    with config.using(cfg):
        PATHS["standard"](cfg, tmp_path / "out")
    (result,) = (tmp_path / "out").rglob("standard.json")
    assert main(["verify", str(result.parent), "--root", str(tmp_path / "data")]) == 0


def test_a_distance_is_not_fitted_to_test_images(tmp_path):
    """Also where a source that has training images is joined with one that has none."""
    path, weights = write_shop(tmp_path / "a"), write_weights(tmp_path / "tiny.pth")
    lines = path.read_text().splitlines()
    tested = path.with_name("tested.csv")
    tested.write_text("\n".join(line for line in lines if not line.endswith(",train")) + "\n")
    cfg = make_config(tmp_path / "data", weights, str(tested), tmp_path / "out")
    cfg.adv.data.lists = [*cfg.adv.data.lists, f"shop={path}"]
    cfg.test.dist_metric = "kissme"
    with config.using(cfg):
        with pytest.raises(DataError, match="no training images to fit the distance 'kissme' to"):
            PATHS["run"](cfg, tmp_path / "out")
        for sources in (["tested"], ["shop", "tested"], ["tested", "shop"]):
            own = at(cfg, data__sources=sources)
            with pytest.raises(DataError, match=f"{', '.join(sources)} has no training images to"):
                PATHS["engine"](own, tmp_path / "out")
        own = at(cfg, data__sources=["shop"], data__targets=["shop"])
        assert PATHS["engine"](own, tmp_path / "out")[0]["mAP"] > 0
