"""The main job end to end, on real files, and what it does with bad input."""

import errno
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from markets import write_market
from PIL import Image

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.data.datasets import load_dataset
from torchreid_adv.data.images import read_pixels
from torchreid_adv.engines.train import train
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.loading import build_network

MODEL = "osnet_x0_25"
FLAGS = ["model.name", MODEL, "data.height", "64", "data.width", "32", "data.workers", "0"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights, spread so that features differ; saved as torchreid saves them."""
    torch.manual_seed(5)
    network = build_network(MODEL)
    path = tmp_path_factory.mktemp("weights") / "model.pth.tar-1"
    state = {"state_dict": network.state_dict(), "epoch": 1, "rank1": np.float32(0.5)}
    torch.save(state, path)
    return path


def attack(market, weights, out, *options):
    flags = ["-s", "market1501", "-t", "market1501", "--root", str(market)]
    pairs = [*FLAGS, "model.load_weights", str(weights), "data.save_dir", str(out)]
    pairs += ["test.normalize_feature", "True", "adv.attack.eps", "8", *options]
    return cli.main(["attack-gallery", *flags, *pairs])


@pytest.fixture(scope="module")
def run(tmp_path_factory, weights):
    """One run on a small market with images of three sizes."""
    place = tmp_path_factory.mktemp("run")
    market = write_market(place / "data", sizes=((64, 32), (70, 29), (50, 40)))
    assert attack(market, weights, place / "out") == 0
    config.forget()
    return market, place / "out"


def test_the_variant_is_complete_and_within_bounds(run):
    market, out = run
    source = load_dataset("market1501", root=market)
    folder = out / "market1501" / "adversarial"
    manifest = read_manifest(folder)
    assert len(manifest.entries) == len(source.train) + len(source.query) + len(source.gallery)
    stored = {p.relative_to(folder).as_posix() for p in folder.rglob("*.png")}
    assert stored == {entry.output for entry in manifest.entries}
    originals = {r.image_id: r for s in ("train", "query", "gallery") for r in source.side(s)}
    attacked = 0
    for entry in manifest.entries:
        record = originals[entry.image_id]
        assert entry.output == str(Path(entry.image_id).with_suffix(".png"))
        assert (entry.pid, entry.camid) == (record.pid, record.camid)
        assert (market / entry.source).samefile(record.path)
        before, after = read_pixels(record.path), read_pixels(folder / entry.output)
        assert before.shape == after.shape
        difference = np.abs(before.astype(int) - after.astype(int)).max()
        assert difference == entry.linf
        assert entry.changed == (difference > 0)
        if entry.attacked:
            attacked += 1
            assert entry.side == "gallery"
            assert record.pid != 0
            assert difference <= 8
        else:
            assert difference == 0
    assert attacked == 24  # every gallery image of an identity that has a query


def test_results_say_what_is_there(run):
    _, out = run
    results = json.loads((out / "results.json").read_text())
    target = results["targets"]["market1501"]
    assert results["schema"] == 1
    assert results["version"] == adv.__version__
    assert results["config"]["adv"]["attack"]["eps"] == 8.0
    assert results["model"]["name"] == MODEL
    assert target["attack"] | {"name": "ifgsm", "eps": 8.0, "steps": 10} == target["attack"]
    assert target["linf"]["max"] == 8
    assert target["images"] == {"total": 63, "attacked": 24, "unchanged": 0, "left_out": 0}
    for measure in ("clean", "adversarial", "adversarial_float"):
        assert set(target[measure]) == {"mAP", "cmc", "mINP", "queries", "skipped", "rerank"}
        assert target[measure]["queries"] == 12
    assert target["map_ratio"] == target["adversarial"]["mAP"] / target["clean"]["mAP"]
    assert target["positive_distance"]["adversarial"] > target["positive_distance"]["clean"]
    assert target["adversarial"]["mAP"] < target["clean"]["mAP"]
    assert target["defense"] is None
    assert target["images_per_second"] > 0


def test_re_ranked_scores_are_torchreid_s(market, weights, tmp_path, capsys):
    assert attack(market, weights, tmp_path, "adv.evaluation.rerank", "True") == 0
    printed = capsys.readouterr().out
    assert "** Clean, re-ranked **" in printed
    assert "** Adversarial, from the stored files, re-ranked **" in printed
    target = json.loads((tmp_path / "results.json").read_text())["targets"]["market1501"]
    assert target["adversarial_float"]["rerank"] is None
    model = adv.load_model(MODEL, weights, size=(64, 32))
    source = adv.load_dataset("market1501", root=market)
    stored_images = adv.load_dataset(
        "adversarial", folder=str(tmp_path / "market1501" / "adversarial"), root=str(market)
    )
    for name, data in (("clean", source), ("adversarial", stored_images)):
        sides = [adv.extract(model, data.side(side)) for side in ("query", "gallery")]
        curve, mean = torchreid_reranked(*sides)
        assert abs(target[name]["rerank"]["mAP"] - mean) < 1e-6
        assert abs(target[name]["rerank"]["cmc"]["1"] - curve[0]) < 1e-6


def torchreid_reranked(query, gallery):
    metrics, units = torchreid_module("metrics"), torch.nn.functional.normalize
    q, g = units(query.values), units(gallery.values)
    pairs = [metrics.compute_distance_matrix(a, b).numpy() for a, b in ((q, g), (q, q), (g, g))]
    matrix = torchreid_module("utils.rerank").re_ranking(*pairs)
    labels = (query.pids, gallery.pids, query.camids, gallery.camids)
    return metrics.evaluate_rank(matrix, *(x.numpy() for x in labels), use_cython=False)


def test_the_report_is_there(run):
    _, out = run
    page = (out / "report.html").read_text()
    assert "market1501" in page
    assert list((out / "figures").glob("*.png"))


def test_clean_is_what_torchreid_prints(run, weights, tmp_path, capsys):
    market, out = run
    cfg = default_config()
    cfg.merge_from_list([*FLAGS, "data.root", str(market), "data.save_dir", str(tmp_path)])
    cfg.merge_from_list(["model.load_weights", str(weights), "model.pretrained", "False"])
    cfg.merge_from_list(["test.evaluate", "True", "test.normalize_feature", "True"])
    with adv.installed():
        adv.uninstall()  # torchreid as it is, but for reading its own checkpoint
    stock = stock_evaluation(cfg)
    printed = re.search(r"mAP: ([\d.]+)%", capsys.readouterr().out)
    assert printed
    clean = json.loads((out / "results.json").read_text())["targets"]["market1501"]["clean"]
    assert abs(clean["mAP"] - stock[1]) < 1e-6
    assert abs(clean["cmc"]["1"] - stock[0]) < 1e-6
    assert float(printed[1]) == round(clean["mAP"] * 100, 1)


def stock_evaluation(cfg):
    """Run torchreid's own, unhooked evaluation and return (rank-1, mAP)."""
    from torchreid_adv.integration.checkpoints import load_weights

    data = torchreid_module("data").ImageDataManager(
        root=cfg.data.root, sources="market1501", height=64, width=32, workers=0, use_gpu=False
    )
    network = build_network(MODEL)
    load_weights(network, cfg.model.load_weights, strict=True)
    engine = torchreid_module("engine").ImageSoftmaxEngine(data, network, None, use_gpu=False)
    engine.set_model_mode("eval")
    loaders = data.test_loader["market1501"]
    return engine._evaluate(
        "market1501", loaders["query"], loaders["gallery"], normalize_feature=True, ranks=[1]
    )


def test_the_variant_can_be_tested_by_another_run(run, weights, tmp_path):
    """``data.targets: [adversarial]`` gives the adversarial score."""
    market, out = run
    folder = out / "market1501" / "adversarial"
    cfg = default_config()
    cfg.merge_from_list([*FLAGS, "data.root", str(market), "data.save_dir", str(tmp_path)])
    cfg.merge_from_list(
        ["data.targets", "['adversarial']", "adv.data.adversarial_dir", str(folder)]
    )
    cfg.merge_from_list(["model.load_weights", str(weights), "model.pretrained", "False"])
    cfg.merge_from_list(["test.evaluate", "True", "test.normalize_feature", "True"])
    engine = train(cfg)
    expected = json.loads((out / "results.json").read_text())["targets"]["market1501"][
        "adversarial"
    ]
    assert abs(engine.results["adversarial"].mAP - expected["mAP"]) < 1e-6


def test_python_interface(run, weights, tmp_path):
    market, out = run
    model = adv.load_model(MODEL, weights, size=(64, 32))
    data = adv.load_dataset("market1501", root=market)
    attack = adv.build_attack("ifgsm", eps=8 / 255)
    attacked = adv.attack_dataset(model, data, attack, side="gallery", out=tmp_path / "run")
    results = json.loads((out / "results.json").read_text())["targets"]["market1501"]
    assert abs(adv.evaluate(model, attacked).mAP - results["adversarial"]["mAP"]) < 1e-6
    assert abs(adv.evaluate(model, data).mAP - results["clean"]["mAP"]) < 1e-6


def test_running_again_is_the_same_run_and_another_is_refused(run, weights, capsys):
    market, out = run
    folder = out / "market1501" / "adversarial"
    before = {p: p.read_bytes() for p in folder.rglob("*.*")}
    assert attack(market, weights, out) == 0
    assert {p: p.read_bytes() for p in folder.rglob("*.*")} == before
    assert attack(market, weights, out, "adv.attack.name", "mifgsm") == 2
    assert "belongs to another run" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in folder.rglob("*.*")} == before


def test_queries_can_be_attacked(market, weights, tmp_path):
    options = ["adv.attack.side", "query", "adv.attack.name", "mifgsm"]
    assert attack(market, weights, tmp_path / "out", *options) == 0
    manifest = read_manifest(tmp_path / "out" / "market1501" / "adversarial")
    assert {entry.side for entry in manifest.entries if entry.attacked} == {"query"}
    assert sum(entry.attacked for entry in manifest.entries) == 12


def test_targeted(market, weights, tmp_path, capsys):
    out = tmp_path / "out"
    assert attack(market, weights, out, "adv.attack.targeted", "True") == 0
    target = json.loads((out / "results.json").read_text())["targets"]["market1501"]
    assert target["attack"]["targeted"] is True
    assert target["attack"]["target_map"] == "random"
    before, after = (target["targeted"][name]["success"] for name in ("clean", "adversarial"))
    assert set(after) == {"1", "5", "10", "20"}
    assert after["5"] > before["5"]
    assert target["targeted"]["adversarial"]["median_rank"] >= 1
    assert "Pulled images among the first k" in capsys.readouterr().out


def test_another_target_map_in_the_same_file_is_another_run(market, weights, tmp_path, capsys):
    out, path = tmp_path / "out", tmp_path / "map.json"
    options = ["adv.attack.targeted", "True", "adv.attack.target_map", str(path)]
    path.write_text(json.dumps({"101": 102}))
    assert attack(market, weights, out, *options, "adv.attack.steps", "1") == 0
    path.write_text(json.dumps({"101": 103}))
    assert attack(market, weights, out, *options, "adv.attack.steps", "1") == 2
    assert "attack.target_map_sha256" in capsys.readouterr().err


def split(market, name):
    return market / "market1501" / "Market-1501-v15.09.15" / name


def corrupt(market):
    next(split(market, "query").iterdir()).write_bytes(b"")


def sixteen(market):
    path = next(split(market, "bounding_box_train").iterdir())
    Image.fromarray(np.full((64, 32), 40_000, dtype=np.uint16)).save(path, format="PNG")


def no_gallery(market):
    shutil.rmtree(split(market, "bounding_box_test"))
    split(market, "bounding_box_test").mkdir()


def one_camera(market):
    for name in ("query", "bounding_box_test"):
        for path in list(split(market, name).iterdir()):
            if "_c1" not in path.name:
                path.unlink()


def strangers(market):
    for path in list(split(market, "bounding_box_test").iterdir()):
        if not path.name.startswith("0000"):
            path.unlink()


@pytest.mark.parametrize(
    ("spoil", "code", "sentence"),
    [
        (corrupt, 3, "1 of 63 images are bad"),
        (sixteen, 3, "more than 8 bits"),
        (no_gallery, 3, "empty split"),
        (one_camera, 3, "one camera"),
        (strangers, 3, "do not appear in the gallery"),
    ],
)
def test_bad_data_is_refused_in_a_sentence(
    market, weights, tmp_path, capsys, spoil, code, sentence
):
    spoil(market)
    out = tmp_path / "out"
    assert attack(market, weights, out) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["adv.attack.eps", "8/255"], 2, "write 8, not 8/255"),
        (["adv.attack.eps", "0.03"], 2, "gray levels"),
        (["adv.attack.eps", "300"], 2, "must be in [0, 255]"),
        (["adv.attack.name", "fgsm", "adv.attack.steps", "4"], 2, "does not use adv.attack.steps"),
        (["model.load_weights", ""], 2, "model.load_weights is empty"),
        (["model.load_weights", "nowhere.pth"], 2, "nowhere.pth"),
        (["model.name", "osnet_x0_26"], 2, "did you mean 'osnet_x0_25'"),
        (["model.name", "osnet_x0_5"], 2, "model.name"),
        (["data.root", "/nowhere/at/all"], 3, "does not exist"),
        (["data.targets", "['market1502']"], 2, "did you mean 'market1501'"),
        (["adv.attack.targeted", "True", "adv.attack.target_map", "999"], 2, "identity 999"),
        (["adv.attack.targeted", "True", "adv.attack.target_map", "x.json"], 2, "cannot be read"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(
    market, weights, tmp_path, capsys, options, code, sentence
):
    out = tmp_path / "out"
    assert attack(market, weights, out, *options) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_nan_weights_are_refused(market, tmp_path, capsys):
    network = build_network(MODEL)
    network.conv1.conv.weight.data[0] = float("nan")
    path = tmp_path / "nan.pth"
    torch.save({"state_dict": network.state_dict()}, path)
    assert attack(market, path, tmp_path / "out") == 2
    assert "NaN" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nan_features_are_refused(market, tmp_path, capsys):
    network = build_network(MODEL)
    network.conv1.bn.running_var[:] = -1
    path = tmp_path / "model.pth"
    torch.save({"state_dict": network.state_dict()}, path)
    assert attack(market, path, tmp_path / "out") == 2
    assert "gives no features: the network gives NaN or infinity" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_its_own_exit_code(market, weights, tmp_path, capsys, monkeypatch):
    def full(contents, top, scratch):
        raise OSError(errno.ENOSPC, "No space left on device", str(scratch))

    monkeypatch.setattr("torchreid_adv.runs.unit_writer.write_together", full)
    assert attack(market, weights, tmp_path / "out") == 5
    assert "No space left on device" in capsys.readouterr().err
    folder = tmp_path / "out" / "market1501" / "adversarial"
    assert not (folder / "manifest.jsonl").exists()


def test_a_query_without_a_positive_is_counted_as_skipped(market, weights, tmp_path):
    for path in list(split(market, "bounding_box_test").glob("0101_*")):
        path.unlink()
    assert attack(market, weights, tmp_path / "out") == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    clean = results["targets"]["market1501"]["clean"]
    assert (clean["queries"], clean["skipped"]) == (9, 3)


def test_dry_run_prints_the_config_and_writes_nothing(market, weights, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--dry-run", "--root", str(market), *FLAGS, "data.save_dir", str(out)]
    assert cli.main(["attack-gallery", *options, "adv.attack.eps", "8"]) == 0
    printed = capsys.readouterr().out
    assert "  attack:\n    eps: 8.0  # gray levels = 0.031373 of [0, 1]\n" in printed
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [([], 2), (["--help"], 0), (["--version"], 0), (["atack"], 2), (["list"], 0)],
)
def test_command_line(arguments, code, capsys):
    assert cli.main(arguments) == code
    out, err = capsys.readouterr()
    assert out or err
