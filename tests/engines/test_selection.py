"""Checkpoints are chosen by training identities of a data set that has no other part in a run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from markets import write_market

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.data.datasets import Record, ReIDData, held_out_sides
from torchreid_adv.errors import DataError
from torchreid_adv.integration.layout import torchreid_module

VIRTUAL = {"height": 64, "width": 32, "distractors": 0, "train_identities": 8}
VIRTUAL |= {"test_identities": 2, "cameras_per_identity": 3, "images_per_camera": 2}
SELECTION = ["adv.selection.data", "virtual_b", "adv.selection.identities", "6"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_market(tmp_path_factory.mktemp("data"), identities=6, cameras=2, images=2)


def train(root, out, *pairs):
    config.forget()
    options = ["--root", str(root), "data.save_dir", str(out), "model.name", "tiny"]
    options += ["adv.plugins", "['scripts.tiny_model']", "model.pretrained", "False"]
    options += ["data.height", "64", "data.width", "32", "data.workers", "0"]
    options += ["train.batch_size", "8", "train.lr", "0.01", "test.normalize_feature", "True"]
    for key, value in VIRTUAL.items():
        options += [f"adv.virtual.{key}", str(value)]
    return cli.main(["train", *options, *pairs])


@pytest.fixture(scope="module")
def done(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "log"
    pairs = ("train.max_epoch", "5", "adv.selection.every", "2", "adv.selection.seed", "3")
    assert train(root, out, *SELECTION, *pairs) == 0
    return out, json.loads((out / "selection.json").read_text())


def weights(path):
    return adv.load_model("tiny", str(path), size=(64, 32))


def test_looks_are_at_every_second_epoch_and_the_last(done):
    out, facts = done
    assert [look["epoch"] for look in facts["epochs"]] == [2, 4, 5]
    names = {path.name for path in (out / "model").iterdir()}
    assert {f"model.pth.tar-{n}" for n in (2, 4, 5)} | {"model-best.pth.tar"} <= names
    assert {k: facts[k] for k in ("data", "identities", "seed", "train_seed")} == {
        "data": "virtual_b",
        "identities": 6,
        "seed": 3,
        "train_seed": 1,
    }


def test_a_look_is_what_torchreid_would_score(root, done):
    """torchreid's own ranking of the checkpoint's features of the drawn identities."""
    out, facts = done
    config.forget()
    cfg = config.add_adv_config(config.CfgNode())
    for key, value in VIRTUAL.items():
        cfg.adv.virtual[key] = value
    data = adv.load_dataset("virtual_b", root=root)
    model = weights(out / "model" / "model.pth.tar-4")
    order = np.random.default_rng(3).permutation(8)[:6]
    chosen = [sorted({r.pid for r in data.train})[n] for n in order]
    gallery = [r for r in data.train if r.pid in chosen]
    query = list({(r.pid, r.camid): r for r in reversed(gallery)}.values())
    assert len(gallery) == 6 * 3 * 2
    assert len(query) == 6 * 3
    sides = [adv.extract(model, records) for records in (query, gallery)]
    features = [torch.nn.functional.normalize(side.values, dim=1) for side in sides]
    metrics = torchreid_module("metrics")
    matrix = metrics.compute_distance_matrix(*features, "euclidean").numpy()
    labels = [getattr(s, name).numpy() for name in ("pids", "camids") for s in sides]
    cmc, mean = metrics.evaluate_rank(matrix, *labels, max_rank=10, use_cython=False)
    (look,) = [look for look in facts["epochs"] if look["epoch"] == 4]
    assert look["mAP"] == pytest.approx(mean, abs=1e-6)
    assert look["rank1"] == pytest.approx(cmc[0], abs=1e-6)


def test_the_best_file_holds_the_best_epoch(done):
    out, facts = done
    best = max(facts["epochs"], key=lambda look: look["mAP"])
    assert facts["best"] == {**best, "file": "model/model-best.pth.tar"}
    kept = weights(out / facts["best"]["file"]).state_dict()
    same = weights(out / "model" / f"model.pth.tar-{best['epoch']}").state_dict()
    assert all(torch.equal(value, same[name]) for name, value in kept.items())


def test_training_is_bit_for_bit_what_it_is_without(root, done, tmp_path):
    assert train(root, tmp_path / "plain", "train.max_epoch", "5") == 0
    ours = weights(done[0] / "model" / "model.pth.tar-5").state_dict()
    plain = weights(tmp_path / "plain" / "model" / "model.pth.tar-5").state_dict()
    assert all(torch.equal(value, plain[name]) for name, value in ours.items())


def test_a_resumed_training_remembers_the_looks_before(root, tmp_path, done):
    out = tmp_path / "log"
    (out / "model").mkdir(parents=True)
    facts = {**done[1], "epochs": [{"epoch": 4, "mAP": 2.0, "rank1": 1.0}]}
    (out / "selection.json").write_text(json.dumps(facts))
    start = str(done[0] / "model" / "model.pth.tar-4")
    pairs = ("train.max_epoch", "6", "adv.selection.every", "1", "adv.selection.seed", "3")
    assert train(root, out, *SELECTION, *pairs, "model.resume", start) == 0
    facts = json.loads((out / "selection.json").read_text())
    assert [look["epoch"] for look in facts["epochs"]] == [4, 5, 6]
    assert facts["best"]["epoch"] == 4
    assert not (out / "model" / "model-best.pth.tar").exists()


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (("adv.selection.data", "market1501"), "'market1501' is tested on"),
        (("adv.selection.data", "virtual_b", "-s"), "'virtual_b' is trained on"),
        (("adv.selection.data", "virtul_b"), "did you mean 'virtual_b'"),
        (("adv.selection.data", "virtual_b", "adv.selection.every", "0"), "adv.selection.every"),
    ],
)
def test_what_cannot_choose_is_refused_in_a_sentence(root, tmp_path, capsys, pairs, sentence):
    if pairs[-1] == "-s":
        pairs = (*pairs[:-1], "data.sources", "['virtual_b']")
    assert train(root, tmp_path / "log", *pairs) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def records(*rows):
    return tuple(
        Record(f"train/{pid}_{cam}_{n}", Path("x"), pid, cam) for n, (pid, cam) in enumerate(rows)
    )


def test_queries_are_the_first_images_by_each_camera():
    train = records((1, 0), (1, 0), (1, 1), (2, 0), (2, 0), (3, 0), (3, 2))
    data = ReIDData("d", Path("."), train, train, train)
    query, gallery = held_out_sides(data, identities=5, seed=0)
    assert query == (train[0], train[2], train[5], train[6])
    assert gallery == (*train[:3], *train[5:])  # one camera alone sees identity 2
    assert {
        len({r.pid for r in held_out_sides(data, identities=1, seed=n)[1]}) for n in (0, 1)
    } == {1}


def test_identities_seen_by_one_camera_alone_are_refused():
    train = records((1, 0), (1, 0), (2, 1))
    with pytest.raises(DataError, match="seen by two cameras"):
        held_out_sides(ReIDData("d", Path("."), train, train, train), identities=5, seed=0)
