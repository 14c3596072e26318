"""Every engine trains on a CUDA device, and in float64 it learns what the CPU learns."""

from pathlib import Path

import numpy as np
import pytest
import standins
import torch
from markets import write_market
from place import DEVICE, GPU
from safetensors.torch import load_file
from vcm import write_vcm
from vi_runs import run, vi_settings

from torchreid_adv.attacks.learned.universal import UniversalPerturbation, save_universal
from torchreid_adv.config import torchreid_keys
from torchreid_adv.engines.train import train
from torchreid_adv.integration.checkpoints import read_checkpoint
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.runs import torchreid_checks

pytestmark = pytest.mark.gpu

CONFIGS = Path(__file__).parents[2] / "configs" / "engine"
PGD = {"adv.attack.steps": 2, "adv.training.steps": 2}
SMALL = {"adv.meta.iterations": 2, "adv.mis_ranking.filters": 2, "adv.mis_ranking.blocks": 1}
TRAINED = (
    "adversarial_training",
    "adversarial_training_classification",
    "adversarial_training_consistency",
    "adversarial_training_guided",
    "metric_preserving",
    "meta_defense",
)
LEARNED = ("meta_attack", "mis_ranking")


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return write_market(
        tmp_path_factory.mktemp("gpu"), identities=8, cameras=2, images=4, distractors=1
    )


@pytest.fixture(autouse=True)
def plugins(monkeypatch):
    monkeypatch.syspath_prepend(str(standins.SCRIPTS))
    monkeypatch.setattr(torchreid_module("utils"), "collect_env_info", str)  # asks pip


def settings(market, out):
    small = {"data.root": str(market), "data.sources": "['market1501']", "data.workers": 0}
    small |= {"data.targets": "['market1501']", "data.height": 64, "data.width": 32}
    small |= {"model.name": "tiny_double", "model.pretrained": False, "train.max_epoch": 2}
    small |= {"adv.plugins": "['tiny_plugin']", "train.batch_size": 16, "train.open_layers": "[]"}
    small |= {"train.fixbase_epoch": 0, "test.eval_freq": -1, "data.save_dir": str(out)}
    small |= {"adv.training.evaluate": False, "adv.report.page": False}
    return small | {"adv.meta.virtual": "market1501"}


def trained(name, market, out, *, use_gpu, **more):
    cfg = torchreid_keys.default_config()
    cfg.merge_from_file(str(CONFIGS / f"{name}.yaml"))
    pairs = {**settings(market, out), **more, "use_gpu": use_gpu}
    cfg.merge_from_list([word for pair in pairs.items() for word in pair])
    torchreid_checks.check(cfg)
    torch.manual_seed(0)
    return train(cfg)


@pytest.fixture(scope="module")
def start(market, tmp_path_factory):
    """A trained network for what starts from one."""
    place = tmp_path_factory.mktemp("start")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(standins.SCRIPTS))
        patch.setattr(torchreid_module("utils"), "collect_env_info", str)
        trained("adversarial_training", market, place, use_gpu=False)
    return next((place / "model").glob("*.pth.tar-2"))


@pytest.fixture(scope="module")
def universal(tmp_path_factory):
    path = tmp_path_factory.mktemp("universal") / "universal.safetensors"
    perturbation = UniversalPerturbation(8 / 255, size=(64, 32))
    perturbation.randomize([torch.Generator().manual_seed(0)])
    save_universal(path, perturbation)
    return path


def weights(out):
    (path,) = (out / "model").glob("*.pth.tar-2")
    state = read_checkpoint(path)["state_dict"]
    return {name.removeprefix("module."): value for name, value in state.items()}  # DataParallel


@pytest.mark.parametrize("name", TRAINED)
def test_training_learns_what_the_cpu_learns(name, market, start, universal, tmp_path):
    given = {"metric_preserving": {**PGD, "adv.training.weights": str(start)}}
    given["meta_defense"] = {"adv.attack.weights": str(universal), "adv.meta.iterations": 2}
    more = given.get(name, PGD)
    found = []
    for number, use_gpu in enumerate((False, GPU)):
        out = tmp_path / str(number)
        engine = trained(name, market, out, use_gpu=use_gpu, **more)
        assert next(engine.model.parameters()).device.type == (DEVICE if use_gpu else "cpu")
        found.append(weights(out))
    slow, fast = found
    for key, value in slow.items():
        assert np.allclose(fast[key].cpu(), value, rtol=1e-5, atol=1e-7), key


@pytest.mark.parametrize("name", LEARNED)
def test_an_attack_is_learned_as_on_the_cpu(name, market, start, tmp_path):
    found = []
    for number, use_gpu in enumerate((False, GPU)):
        out = tmp_path / str(number)
        trained(name, market, out, use_gpu=use_gpu, **SMALL, **{"model.load_weights": str(start)})
        (path,) = out.glob("*.safetensors")
        found.append(load_file(path))
    slow, fast = found
    for key, value in slow.items():  # in float32, where rounding turns some first steps
        same = np.isclose(fast[key], value, rtol=0.02, atol=1e-4).mean()
        assert same > 0.9, (key, same)


def test_graphs_are_recorded_while_loaders_pin_memory(market, tmp_path):
    more = {**PGD, "data.workers": 2}
    engine = trained("adversarial_training", market, tmp_path, use_gpu=GPU, **more)
    assert all(p.isfinite().all() for p in engine.model.parameters())
    ((_, graphed),) = engine.inner.cache.values()
    assert any(graphed._graphs.values()) == GPU


def test_a_run_goes_on_as_if_it_was_never_stopped(market, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    trained("adversarial_training", market, whole, use_gpu=GPU)
    trained("adversarial_training", market, parts, use_gpu=GPU, **{"train.max_epoch": 1})
    half = next((parts / "model").glob("*.pth.tar-1"))
    trained("adversarial_training", market, parts, use_gpu=GPU, **{"model.resume": str(half)})
    for key, value in weights(whole).items():
        assert torch.allclose(weights(parts)[key].cpu(), value.cpu(), rtol=1e-9, atol=1e-12), key


def test_the_video_network_attacks_itself(tmp_path):
    root = write_vcm(tmp_path / "vcm", train=2, test=2, frames=3)
    engine = run(vi_settings(root, tmp_path / "log"), use_gpu=GPU)
    assert next(engine.model.parameters()).device.type == DEVICE
    assert all(p.isfinite().all() for p in engine.model.parameters())
