"""A learned metric as attack target and as evaluation metric, end to end."""

import json
import sys
import types

import numpy as np
import pytest
import torch
from markets import write_market

import torchreid_adv as adv
from torchreid_adv import cli
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.distances import XQDA, build_distance, load_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import evaluate
from torchreid_adv.models.loading import build_network

MODEL = "osnet_x0_25"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "model.pth.tar-1"
    state = {"state_dict": build_network(MODEL).state_dict(), "epoch": 1, "rank1": np.float32(0.5)}
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_market(tmp_path_factory.mktemp("data"), images=1)


@pytest.fixture
def no_report(monkeypatch):
    """The pictures of the report, which take longer than all else here, are not drawn."""
    monkeypatch.setattr("torchreid_adv.runs.attack_dataset.write_report", lambda *_: None)


def run(command, place, weights, out, *options):
    pairs = ["model.name", MODEL, "model.load_weights", str(weights), "model.pretrained", "False"]
    pairs += ["data.height", "64", "data.width", "32", "data.workers", "0"]
    pairs += ["data.save_dir", str(out), "test.normalize_feature", "True"]
    pairs += ["adv.attack.eps", "8", "adv.attack.steps", "2", *options]
    return cli.main([command, "--root", str(place), *pairs])


def target(out):
    return json.loads((out / "results.json").read_text())["targets"]["market1501"]


def by_hand(place, weights, data=None):
    """Features of the three sides, and XQDA fitted to those of the training images."""
    model = adv.load_model(MODEL, weights, size=(64, 32))
    data = data or adv.load_dataset("market1501", root=place)
    train, query, gallery = (
        adv.extract(model, data.side(side)) for side in ("train", "query", "gallery")
    )
    return query, gallery, XQDA(normalize=True).fit(train.values, train.pids, train.camids)


def test_xqda_is_attacked_and_euclid_ranks_and_the_other_way_round(
    place, weights, tmp_path, capsys, no_report
):
    query, gallery, xqda = by_hand(place, weights)
    euclidean = build_distance("euclidean", normalize=True)
    images = {}
    for attacked, ranks in (("xqda", "euclidean"), ("euclidean", "xqda")):
        out = tmp_path / attacked
        options = ["adv.attack.metric", attacked, "test.dist_metric", ranks]
        assert run("attack-gallery", place, weights, out, *options) == 0
        assert "Fitting xqda to 12 training images of market1501" in capsys.readouterr().out
        found = target(out)
        assert found["attack"]["metric"] == attacked
        assert found["attack"]["evaluation_metric"] == ranks
        stored = load_distance(out / "market1501" / "xqda.safetensors")
        assert torch.allclose(stored.factor.abs(), xqda.factor.abs(), rtol=1e-4, atol=1e-6)
        distance = {"xqda": xqda, "euclidean": euclidean}[ranks]
        wanted = evaluate(query, gallery, distance=distance)
        assert found["clean"]["mAP"] == pytest.approx(wanted.mAP, abs=1e-6)
        entries = read_manifest(out / "market1501" / "adversarial").entries
        images[attacked] = {e.image_id: e.sha256 for e in entries if e.attacked}
    assert images["xqda"].keys() == images["euclidean"].keys()
    assert all(images["xqda"][name] != images["euclidean"][name] for name in images["xqda"])


def test_a_run_that_goes_on_takes_the_stored_metric(place, weights, tmp_path, capsys, no_report):
    options = ["adv.attack.metric", "xqda", "test.dist_metric", "xqda"]
    assert run("attack-gallery", place, weights, tmp_path, *options) == 0
    assert capsys.readouterr().out.count("Fitting xqda") == 1
    first, stored = target(tmp_path), tmp_path / "market1501" / "xqda.safetensors"
    content = stored.read_bytes()
    assert run("attack-gallery", place, weights, tmp_path, *options) == 0
    assert "Fitting" not in capsys.readouterr().out
    assert stored.read_bytes() == content
    again = target(tmp_path)
    for key in ("attack", "clean", "adversarial", "adversarial_float"):
        assert again[key] == first[key], key


@pytest.mark.slow
def test_the_attack_raises_the_distance_by_the_metric_it_attacks(
    place, weights, tmp_path, no_report
):
    options = ["adv.attack.metric", "kissme", "test.dist_metric", "kissme"]
    assert run("attack-gallery", place, weights, tmp_path, *options) == 0
    found = target(tmp_path)
    assert found["positive_distance"]["adversarial"] > found["positive_distance"]["clean"]
    assert found["attack"]["metric_options"] == {"dimension": 64}
    digest = load_distance(tmp_path / "market1501" / "kissme.safetensors").digest()
    assert found["attack"]["metric_sha256"] == digest
    assert found["attack"]["evaluation_metric_sha256"] == digest


def test_a_script_s_evaluation_fits_to_its_training_images(place, weights, tmp_path, capsys):
    options = ["test.dist_metric", "xqda", "test.evaluate", "True", "data.transforms", "['lgt']"]
    assert run("train", place, weights, tmp_path, *options) == 0
    printed = capsys.readouterr().out
    query, gallery, xqda = by_hand(place, weights)
    wanted = evaluate(query, gallery, distance=xqda)
    assert "Fitting xqda to 12 training images" in printed
    assert f"mAP: {wanted.mAP:.1%}" in printed
    assert wanted.mAP != evaluate(query, gallery).mAP


def test_one_camera_is_a_sentence_and_nothing_is_written(weights, tmp_path, capsys):
    market = write_market(tmp_path / "data", images=1)
    train = market / "market1501" / "Market-1501-v15.09.15" / "bounding_box_train"
    for path in train.iterdir():
        if "_c1" not in path.name:
            path.unlink()
    out = tmp_path / "out"
    assert run("attack-gallery", market, weights, out, "adv.attack.metric", "xqda") == 3
    error = capsys.readouterr().err
    assert "XQDA compares cameras" in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.fixture
def my_metrics():
    module = types.ModuleType("my_metrics")
    module.manhattan = lambda a, b: (a[:, None] - b[None]).abs().sum(2)
    module.broken = lambda a, b: a
    sys.modules["my_metrics"] = module
    yield
    del sys.modules["my_metrics"]


def test_a_function_is_attacked_and_ranks(place, weights, tmp_path, my_metrics, no_report):
    name = "my_metrics:manhattan"
    options = ["adv.attack.metric", name, "test.dist_metric", name]
    assert run("attack-gallery", place, weights, tmp_path, *options) == 0
    found = target(tmp_path)
    assert (found["attack"]["metric"], found["attack"]["evaluation_metric"]) == (name, name)
    assert found["positive_distance"]["adversarial"] > found["positive_distance"]["clean"]
    query, gallery, _ = by_hand(place, weights)
    clean = evaluate(query, gallery, distance=build_distance(name, normalize=True))
    assert found["clean"]["mAP"] == pytest.approx(clean.mAP, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["adv.attack.metric", "my_metrics:broken"], "returns a tensor"),
        (["adv.attack.metric", "my_metrics:manhatten"], "did you mean 'manhattan'"),
        (["test.dist_metric", "my_metrics:manhattan", "test.rerank", "True"], "re-ranking"),
        (["adv.attack.metric", "mahalanobis"], "takes a matrix"),
        (["adv.attack.metric", "xqda", "adv.distances.xqda.normalize", "True"], "stands for"),
        (["adv.distances.xqda.regulariser", "1"], "did you mean 'regularizer'"),
    ],
)
def test_bad_metrics_are_refused_in_a_sentence(
    place, weights, tmp_path, capsys, my_metrics, options, sentence
):
    out = tmp_path / "out"
    assert run("attack-gallery", place, weights, out, *options) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["test.dist_metric", "my_metrics:manhatten"], "did you mean 'manhattan'"),
        (["test.dist_metric", "xqda", "adv.distances.xqda.regularizer", "-1"], "positive number"),
        (["test.dist_metric", "my_metrics:manhattan", "test.rerank", "True"], "re-ranking"),
    ],
)
def test_a_script_s_bad_metrics_are_refused_in_a_sentence(
    place, weights, tmp_path, capsys, my_metrics, options, sentence
):
    assert run("train", place, weights, tmp_path, "test.evaluate", "True", *options) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert "Extracting" not in captured.out


def attack_from_python(place, weights, out, *, attacked="xqda", **settings):
    model = adv.load_model(MODEL, weights, size=(64, 32))
    data = adv.load_dataset("market1501", root=place)
    attack = adv.build_attack("fgsm", eps=8 / 255, distance=attacked)
    adv.attack_dataset(model, data, attack, out=out, **settings)
    return attack


def test_from_python_each_data_set_has_a_fit_of_its_own(place, weights, tmp_path, no_report):
    ranks = XQDA(normalize=True)
    attack = attack_from_python(place, weights, tmp_path, distance=ranks)
    assert not attack.objective.distance.fitted
    assert not ranks.fitted
    digest = load_distance(tmp_path / "market1501" / "xqda.safetensors").digest()
    assert target(tmp_path)["attack"]["evaluation_metric_sha256"] == digest


@pytest.mark.slow
def test_one_that_was_fitted_before_is_used_as_it_is(place, weights, tmp_path, no_report):
    _, _, xqda = by_hand(place, weights)
    attack_from_python(place, weights, tmp_path, attacked=xqda)
    assert target(tmp_path)["attack"]["metric_sha256"] == xqda.digest()
    assert not (tmp_path / "market1501" / "xqda.safetensors").exists()


def test_two_fits_of_one_name_are_refused(place, weights, tmp_path):
    with pytest.raises(ConfigError, match="with different options"):
        attack_from_python(place, weights, tmp_path / "out", distance=XQDA(normalize=False))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_engine_that_attacks_writes_what_attack_gallery_writes(
    place, weights, tmp_path, no_report
):
    metrics = ["adv.attack.metric", "xqda", "test.dist_metric", "kissme"]
    engine = ["adv.engine", "metric_attack", "test.evaluate", "True"]
    assert run("train", place, weights, tmp_path / "a", *metrics, *engine) == 0
    assert run("attack-gallery", place, weights, tmp_path / "b", *metrics) == 0
    ours, theirs = (target(tmp_path / name) for name in "ab")
    for key in ("attack", "clean", "adversarial", "linf"):
        assert ours[key] == theirs[key], key


@pytest.mark.slow
def test_a_matrix_of_a_file_is_attacked_and_a_function_ranks(place, weights, tmp_path, my_metrics):
    np.save(tmp_path / "metric.npy", np.diag(np.r_[np.ones(8), np.zeros(504)]))
    options = ["adv.attack.metric", "mahalanobis", "test.dist_metric", "my_metrics:manhattan"]
    options += ["adv.distances.mahalanobis.matrix", str(tmp_path / "metric.npy")]
    assert run("attack-gallery", place, weights, tmp_path / "out", *options) == 0
    attack = target(tmp_path / "out")["attack"]
    assert attack["metric"] == "mahalanobis"
    assert attack["evaluation_metric"] == "my_metrics:manhattan"
    assert (tmp_path / "out" / "report.html").is_file()
