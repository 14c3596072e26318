"""Adversarial training on what was learned before: a universal perturbation, a generator."""

import pytest
import torch
from test_adversarial_training import settings, trained  # noqa: F401

from torchreid_adv.attacks.learned.generator import GeneratedNoise, save_generator
from torchreid_adv.attacks.learned.universal import UniversalPerturbation, save_universal
from torchreid_adv.config import torchreid_keys
from torchreid_adv.core.batch import Batch
from torchreid_adv.engines.deciding_keys import TRAINING, config_facts
from torchreid_adv.engines.inner_attack import LearnedInner
from torchreid_adv.engines.trained import training_settings
from torchreid_adv.errors import ConfigError

EPS = 8 / 255
OBJECTIVE = {"adv__training__objective": "universal", "adv__training__steps": None}


@pytest.fixture
def files(tmp_path):
    """A perturbation at its bounds and a generator, by name."""
    delta = UniversalPerturbation(EPS, size=(64, 32))
    delta.randomize([torch.Generator()])
    with torch.random.fork_rng():
        noise = GeneratedNoise(EPS, size=(64, 32), filters=2, blocks=1).eval()
    save_universal(tmp_path / "delta", delta)
    save_generator(tmp_path / "noise", noise)
    return {"delta": (str(tmp_path / "delta"), delta), "noise": (str(tmp_path / "noise"), noise)}


@pytest.mark.parametrize("kind", ["delta", "noise"])
def test_each_batch_is_perturbed_by_the_file(settings, files, monkeypatch, kind):  # noqa: F811
    path, own = files[kind]
    seen = []
    call = LearnedInner.__call__

    def spied(inner, model, batch):
        seen.append((batch.images, call(inner, model, batch)))
        return seen[-1][1]

    monkeypatch.setattr(LearnedInner, "__call__", spied)
    engine = trained(
        settings, **OBJECTIVE, adv__training__universal=path, adv__training__eps=8,
        adv__training__evaluate=False,
    )  # fmt: skip
    assert len(seen) == len(engine.train_loader)
    for clean, moved in seen:
        assert torch.equal(moved, own(clean))
        assert EPS / 20 < (moved - clean).abs().max() <= EPS + 1e-6
        assert not moved.requires_grad


def test_tracklets_are_perturbed_image_by_image(files):
    images = torch.rand(2, 3, 3, 64, 32)
    for _, own in files.values():
        moved = LearnedInner(own)(None, Batch(images))
        assert torch.equal(moved[1], own(images.flatten(0, 1)).view_as(images)[1])


def test_what_a_file_holds_decides_which_network_it_trains(files):
    def digest(kind):
        cfg = torchreid_keys.default_config()
        cfg.adv.engine, cfg.adv.training.universal = "adversarial_training", files[kind][0]
        return config_facts(training_settings(cfg), TRAINING)

    before = digest("delta")
    assert digest("noise") != before
    save_universal(files["delta"][0], UniversalPerturbation(EPS))
    assert digest("delta") != before


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, r"name its file in adv\.training\.universal"),
        ({"adv__training__universal": "none"}, "there is no universal perturbation"),
        ({"adv__training__universal": "delta", "adv__training__eps": 4}, r"adv\.training\.eps 8"),
        ({"adv__training__universal": "delta", "adv__training__steps": 3}, "takes no steps"),
        (
            {"adv__training__universal": "delta", "adv__training__objective": "self"},
            "does not use adv.training.universal",
        ),
    ],
)
def test_what_cannot_be_is_refused(settings, files, changed, words):  # noqa: F811
    name = changed.get("adv__training__universal")
    path = {"adv__training__universal": files[name][0]} if name in files else {}
    with pytest.raises(ConfigError, match=words):
        trained(settings, **{**OBJECTIVE, **changed, **path})
