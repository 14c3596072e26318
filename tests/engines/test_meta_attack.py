"""``adv.engine: meta_attack``: what is learned, on which data, and what it is then used for."""

import json

import numpy as np
import pytest
import torch
from further_sets import write_duke
from test_evaluation_mixin import make_engine

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.attacks.learned.triplets import BatchTriplet, CentroidTriplet
from torchreid_adv.attacks.learned.uap_retrieval import LabelHinge, ListReversal, Summed
from torchreid_adv.attacks.learned.universal import load_universal
from torchreid_adv.attacks.sma import SelfDistance
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.engines.loaders import Rounds
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.hooks import installed
from torchreid_adv.models.loading import build_network

MODEL = "shufflenet_v2_x0_5"
LEARNING = ("source", "meta", "joined", "virtual", "two_step", "twice")


def meta_config(market, **keys):
    """A config of the engine; the market is its own virtual set."""
    cfg = config.AdvConfig({"data": {"root": str(market)}, "model": {"load_weights": "there"}})
    adv.add_adv_config(cfg)
    cfg.adv.engine = "meta_attack"
    for key, value in {"meta.virtual": "market1501", "meta.iterations": 2, **keys}.items():
        section, name = key.split(".")
        cfg.adv[section][name] = value
    return cfg


def learned(market, **keys):
    """An engine after an epoch of two steps."""
    torch.manual_seed(0)
    engine, cfg = make_engine(market), meta_config(market, **keys)
    engine.epoch, engine.max_epoch = 0, 1
    with config.using(cfg), installed():
        adv.adapt_engine(engine, config.setup(cfg))
        engine.train()
    return engine


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("color", {"color": (1, 3, 5, 5, 5)}),
        ("both", {"color": (1, 3, 5, 5, 5), "delta": (1, 3, 64, 32)}),
        ("shift", {"delta": (1, 3, 1, 1)}),
    ],
)
def test_the_table_has_the_corners_that_are_asked_for_and_a_shift_is_one_color(
    market, kind, shapes
):
    perturbation = learned(
        market, **{"meta.perturbation": kind, "meta.cells": 5}
    ).fitting.perturbation
    assert {name: tuple(p.shape) for name, p in perturbation.named_parameters()} == shapes
    if kind == "shift":
        images = torch.full((2, 3, 48, 24), 0.5)
        moved = (perturbation(images) - images).flatten(2)
        assert torch.equal(moved, moved[:, :, :1].expand_as(moved))
        assert 0 < moved.abs().max() <= perturbation.eps + 1e-6


@pytest.mark.parametrize("learning", LEARNING)
def test_the_data_that_is_learned_from(market, learning):
    write_duke(market)
    engine = learned(market, **{"meta.learning": learning, "meta.virtual": "dukemtmcreid"})
    pids = {row[1] for row in engine.train_loader.loader.dataset.train}
    assert len(pids) == (8 if learning == "joined" else 4)
    assert (engine.virtual is not None) == (learning in ("meta", "two_step", "twice"))
    if engine.virtual is not None:
        files = [
            {row[0] for row in one.loader.dataset.train}
            for one in (engine.train_loader, engine.virtual)
        ]
        assert (files[0] == files[1]) == (learning == "twice")
    assert len(engine.train_loader) == 2
    assert engine.fitting.steps == (4 if learning in ("two_step", "twice") else 2)
    assert engine.fitting.inner.kept == (learning == "two_step")
    assert all(p.abs().max() > 0 for p in engine.fitting.perturbation.parameters())
    about = engine.about_learned()
    assert about["trained_on"] == ([] if learning == "virtual" else ["market1501"])
    assert about["virtual"] == ("" if learning in ("source", "twice") else "dukemtmcreid")


@pytest.mark.parametrize(
    ("loss", "kind"), [("triplet", BatchTriplet), ("self", SelfDistance),
                       ("centroids", CentroidTriplet), ("labels", LabelHinge),
                       ("list", ListReversal), ("retrieval", Summed)],
)  # fmt: skip
def test_the_losses(market, loss, kind):
    engine = learned(market, **{"meta.loss": loss, "meta.learning": "source",
                                "meta.centroids": 5, "meta.perturbation": "delta"})  # fmt: skip
    assert type(engine.fitting.objective) is kind
    if loss in ("centroids", "labels", "list"):
        assert len(engine.fitting.objective.centers) == 5
    if loss == "retrieval":
        kinds = [type(one) for one in engine.fitting.objective.objectives]
        assert kinds == [CentroidTriplet, LabelHinge, ListReversal]
    delta = engine.fitting.perturbation.delta
    assert delta.shape == (1, 3, 64, 32)
    assert delta.abs().max() <= 5 / 255 + 1e-7  # adv.attack.eps


def test_the_network_never_changes_and_the_step_shrinks(market):
    torch.manual_seed(0)
    before = {name: value.clone() for name, value in make_engine(market).model.state_dict().items()}
    engine = learned(market, **{"meta.decay": 1.0})
    assert all(torch.equal(value, before[n]) for n, value in engine.model.state_dict().items())
    assert engine.get_current_lr() == pytest.approx(0.5 * np.exp(-1))


def test_a_run_learns_writes_and_attacks(market, tmp_path, capsys):
    torch.manual_seed(5)
    weights, out = tmp_path / "model.pth.tar-1", tmp_path / "run"
    torch.save({"state_dict": build_network(MODEL).state_dict(), "epoch": 1}, weights)
    common = [
        "--root", str(market), "model.name", MODEL, "model.pretrained", "False", "data.height",
        "64", "data.width", "32", "data.workers", "0", "model.load_weights", str(weights),
        "adv.attack.eps", "8", "adv.attack.side", "query", "adv.report.page", "False",
    ]  # fmt: skip
    engine = [
        "data.save_dir", str(out), "train.max_epoch", "1", "train.batch_size", "8",
        "sampler.train_sampler", "RandomIdentitySampler", "adv.engine", "meta_attack",
        "adv.meta.virtual", "market1501", "adv.meta.iterations", "2",
    ]  # fmt: skip
    assert cli.main(["train", *common, *engine]) == 0
    printed = capsys.readouterr().out
    assert printed.count("##### Attacking") == 1
    _, found = load_universal(out / "universal.safetensors")
    assert found.about["steps"] == 2
    assert found.about["space"] == "network"
    results = json.loads((out / "results.json").read_text())["targets"]["market1501"]
    assert results["attack"]["name"] == "universal"
    assert results["attack"]["sha256"] == found.sha256
    assert 0 < results["linf"]["max"] <= 8
    other = [*engine, "adv.meta.learning", "source", "adv.meta.perturbation", "delta"]
    before = (out / "universal.safetensors").read_bytes()
    assert cli.main(["train", *common, *other]) == 2  # before anything is learned or replaced
    told = capsys.readouterr()
    assert "learning 'meta' there, 'source' here" in told.err
    assert "Learned attack: " not in told.out
    assert (out / "universal.safetensors").read_bytes() == before
    again = [
        "data.save_dir", str(tmp_path / "again"), "adv.attack.name", "universal",
        "adv.attack.weights", str(out / "universal.safetensors"),
    ]  # fmt: skip
    assert cli.main(["attack-gallery", *common, *again]) == 0
    folders = [path / "market1501" / "adversarial" for path in (out, tmp_path / "again")]
    first, second = (read_manifest(folder).entries for folder in folders)
    assert first == second


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"attack.steps": 3}, "leave adv.attack.steps None"),
        ({"attack.targeted": True}, "adv.attack.targeted False"),
        ({"attack.metric": "xqda"}, "distance 'xqda'"),
        ({"meta.order": 2}, "no second order"),
        ({"meta.virtual": "virtual_d"}, "virtual_"),
    ],
)
def test_what_cannot_be_learned_is_said_before_it_begins(market, keys, words):
    with pytest.raises(ConfigError, match=words):
        learned(market, **keys)


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("test", "evaluate", True, "learns in training"),
        ("model", "load_weights", "", "trained network"),
        ("sampler", "train_sampler", "RandomSampler", "RandomIdentitySampler"),
    ],
)
def test_torchreid_keys_that_exclude_it_are_refused(market, section, key, value, words):
    engine, cfg = make_engine(market), meta_config(market)
    cfg[section] = config.AdvConfig({key: value})
    with config.using(cfg), installed(), pytest.raises(ConfigError, match=words):
        adv.adapt_engine(engine, cfg)


def test_rounds_go_on_where_an_epoch_stopped():
    rounds = Rounds(["a", "b", "c"], 2)
    assert [list(rounds) for _ in range(3)] == [["a", "b"], ["c", "a"], ["b", "c"]]
    assert len(rounds) == 2
    assert len(Rounds(["a", "b", "c"])) == 3
    with pytest.raises(ConfigError, match=r"lower train\.batch_size"):
        Rounds([])
