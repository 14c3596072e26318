"""``adv.engine: mis_ranking``: what the generator is trained on, and what is done with it."""

import json

import pytest
import torch
from further_sets import write_duke
from test_evaluation_mixin import make_engine
from test_meta_attack import meta_config

import torchreid_adv as adv
from torchreid_adv import cli, config
from torchreid_adv.attacks.learned.generator import load_generator
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.hooks import installed
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.loading import build_network

MODEL = "shufflenet_v2_x0_5"


def generator_config(market, **keys):
    small = {"mis_ranking.filters": 2, "mis_ranking.blocks": 1, "meta.learning": "source"}
    cfg = meta_config(market, **{**small, **keys})
    cfg.adv.engine = "mis_ranking"
    return cfg


def trained(market, **keys):
    """An engine after an epoch of two steps."""
    torch.manual_seed(0)
    engine, cfg = make_engine(market), generator_config(market, **keys)
    engine.epoch, engine.max_epoch = 0, 1
    with config.using(cfg), installed():
        adv.adapt_engine(engine, config.setup(cfg))
        engine.train()
    return engine


@pytest.mark.parametrize(("learning", "identities"), [("source", 4), ("joined", 8), ("virtual", 4)])
def test_the_data_that_is_learned_from(market, learning, identities):
    write_duke(market)
    keys = {"meta.learning": learning, "meta.virtual": "dukemtmcreid", "attack.eps": 16.0}
    engine = trained(market, **keys)
    pids = {row[1] for row in engine.train_loader.loader.dataset.train}
    assert len(pids) == identities
    assert engine.fitting.steps == 2
    assert engine.fitting.noise.linf == pytest.approx(16 / 255)
    about = engine.about_learned()
    assert about["trained_on"] == ([] if learning == "virtual" else ["market1501"])
    assert about["virtual"] == ("" if learning == "source" else "dukemtmcreid")


def test_a_run_trains_the_generator_alone_and_attacks_with_it(market, tmp_path, capsys):
    cfg = generator_config(market, **{"mis_ranking.lr": 0.003, "meta.iterations": 1})
    cfg.adv.report.page, cfg.adv.attack.side = False, "query"
    engine = make_engine(market)
    before = {name: value.clone() for name, value in engine.model.state_dict().items()}
    with config.using(cfg), installed():
        adv.adapt_engine(engine, config.setup(cfg))
        engine.run(save_dir=str(tmp_path), max_epoch=2, print_freq=1)
    assert all(torch.equal(value, before[n]) for n, value in engine.model.state_dict().items())
    assert "lr 0.003" in capsys.readouterr().out
    noise, found = load_generator(tmp_path / "generator.safetensors")
    start = engine.begin_learning().noise.network.weights()
    assert any(not torch.equal(found.tensors[name], start[name]) for name in start)
    results = json.loads((tmp_path / "results.json").read_text())["targets"]["market1501"]
    assert results["attack"]["name"] == "mis_ranking"
    assert results["attack"]["sha256"] == found.sha256
    assert found.about["steps"] == 2
    assert 0 < results["linf"]["max"] <= 5
    assert noise.linf == pytest.approx(5 / 255)


def test_keys_reach_the_game(market):
    keys = {"mis_ranking.margin": 0.7, "mis_ranking.weight": 2.0, "mis_ranking.pixels": 0.5}
    fit = trained(market, **keys, **{"mis_ranking.identity": False}).fitting
    assert (fit.loss.margin, fit.weight, fit.noise.pixels) == (0.7, 2.0, 0.5)
    assert not fit.loss.identity
    assert fit.noise.filters == 2


@pytest.mark.slow
def test_a_run_trains_writes_and_attacks(market, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)  # asks pip
    torch.manual_seed(5)
    weights, out = tmp_path / "model.pth.tar-1", tmp_path / "run"
    state = build_network(MODEL, classes=4).state_dict()
    torch.save({"state_dict": state, "epoch": 1}, weights)
    common = [
        "--root", str(market), "model.name", MODEL, "model.pretrained", "False", "data.height",
        "64", "data.width", "32", "data.workers", "0", "model.load_weights", str(weights),
        "adv.attack.eps", "8", "adv.attack.side", "query", "adv.report.page", "False",
    ]  # fmt: skip
    engine = [
        "data.save_dir", str(out), "train.max_epoch", "2", "train.batch_size", "8",
        "sampler.train_sampler", "RandomIdentitySampler", "adv.engine", "mis_ranking",
        "adv.meta.learning", "source", "adv.meta.iterations", "1", "adv.mis_ranking.filters", "4",
        "adv.mis_ranking.blocks", "1",
    ]  # fmt: skip
    assert cli.main(["train", *common, *engine]) == 0
    printed = capsys.readouterr().out
    assert printed.count("##### Attacking") == 1
    _, found = load_generator(out / "generator.safetensors")
    assert found.about["steps"] == 2
    results = json.loads((out / "results.json").read_text())["targets"]["market1501"]
    assert results["attack"]["name"] == "mis_ranking"
    assert results["attack"]["sha256"] == found.sha256
    assert 0 < results["linf"]["max"] <= 8
    again = [
        "data.save_dir", str(tmp_path / "again"), "adv.attack.name", "mis_ranking",
        "adv.attack.weights", str(out / "generator.safetensors"), "adv.job.chunk", "3",
    ]  # fmt: skip
    assert cli.main(["attack-gallery", *common, *again]) == 0
    folders = [path / "market1501" / "adversarial" for path in (out, tmp_path / "again")]
    first, second = (read_manifest(folder).entries for folder in folders)
    assert first == second  # whatever the size of the chunk


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        *[
            ({"meta.learning": way}, "source, joined or virtual")
            for way in ("meta", "two_step", "twice")
        ],
        ({"attack.step_size": 1.0}, r"adv\.mis_ranking\.lr"),
        ({"attack.steps": 3}, "mis_ranking takes"),
        ({"attack.metric": "xqda"}, "distance 'xqda'"),
    ],
)
def test_what_cannot_be_learned_is_said_before_it_begins(market, keys, words):
    with pytest.raises(ConfigError, match=words):
        trained(market, **keys)


def test_a_network_without_a_classifier_is_told_what_to_set(market):
    engine, cfg = make_engine(market), generator_config(market)
    engine.model.forward = lambda images: images.mean((2, 3))
    words = r"no classifier .* or set adv\.mis_ranking\.identity False"
    with config.using(cfg), installed(), pytest.raises(ConfigError, match=words):
        adv.adapt_engine(engine, cfg)


def test_random_batches_are_refused(market):
    engine, cfg = make_engine(market), generator_config(market)
    cfg.sampler = config.AdvConfig({"train_sampler": "RandomSampler"})
    with config.using(cfg), installed(), pytest.raises(ConfigError, match="RandomIdentitySampler"):
        adv.adapt_engine(engine, cfg)
