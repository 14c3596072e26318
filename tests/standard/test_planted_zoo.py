"""A zoo of planted defects and of honest models: the first are caught, the others are not."""

import dataclasses
import functools

import pytest
import torch
from people import TOY, Around, Stripes, pixel_model, write_people
from test_flags import Alike, BatchMean, Blind, Hidden, Levels, Noisy, Purified
from torch import nn
from torch.nn import functional as F

from torchreid_adv.attacks import GradientAttack
from torchreid_adv.defenses import Defended, build_defense
from torchreid_adv.distances import build_distance
from torchreid_adv.standard import sample
from torchreid_adv.standard.run import evaluate_standard

SHORT = dataclasses.replace(
    TOY, steps=20, self_steps=6, square=80, noise=6, sample=8, bootstrap=20, curve=(0, 14, 255)
)
QUICK = dataclasses.replace(SHORT, steps=4, self_steps=2, pulls=1, square=6, noise=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    torch.set_num_threads(1)
    return write_people(tmp_path_factory.mktemp("people"), identities=8)


def evaluated(model, data, out, version=SHORT, **settings):
    return evaluate_standard(model, data, out=out, version=version, tracks=["Q"], **settings)


def levels(result):
    return {flag["name"]: flag["level"] for flag in result["flags"]}


class Rounded(nn.Module):
    """Down to half, rounded to 6 levels, and up again."""

    def forward(self, images):
        small = F.interpolate(images, scale_factor=0.5, mode="bilinear", antialias=True)
        return F.interpolate((small * 5).round() / 5, images.shape[-2:], mode="bilinear")


class RandomResize(nn.Module):
    def forward(self, images):
        size = int(torch.randint(10, 16, ()))
        small = F.interpolate(images, (size, 8), mode="bilinear", antialias=True)
        return F.interpolate(small, images.shape[-2:], mode="bilinear")


class Shattered(nn.Module):
    """Waves too short for a gradient to see over them."""

    def forward(self, images):
        return images + 0.02 * torch.sin(600 * images)


class Underflow(nn.Module):
    """Signs of features, and a smooth part whose gradient is below what a float can hold."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images).sign() + (1e-25 * self.network(images)) ** 3


def planted(network):
    """Name of the defect -> a model that has it."""
    around = {
        "four levels": Levels(), "rounded resize": Rounded(), "noise": Noisy(),
        "random resize": RandomResize(), "own optimizer": Purified(), "hidden gradient": Hidden(),
        "shattered gradient": Shattered(), "batch mean": BatchMean(),
    }  # fmt: skip
    found = {name: Around(change, network()) for name, change in around.items()}
    found |= {"sign and underflow": Underflow(network()), "alike": Alike(), "blind": Blind()}
    return {name: pixel_model(model) for name, model in found.items()}


NETWORKS = (Stripes, functools.partial(Stripes, seed=3, gain=6.0))


@pytest.mark.slow
def test_planted_defects_are_caught(data, tmp_path):
    found = {}
    for number, network in enumerate(NETWORKS):
        for name, model in planted(network).items():
            result = evaluated(model, data, tmp_path / f"{name}{number}")
            found[name, number] = levels(result)
            assert not (result["standard"]["called_standard"] and "RED" in levels(result).values())
        other = {"attacked": build_distance("cosine")}
        result = evaluated(pixel_model(network()), data, tmp_path / f"metric{number}", **other)
        found["another metric", number] = levels(result)
    print(*(f"{name}: {flags}" for name, flags in found.items()), sep="\n")
    red = [name for name, flags in found.items() if "RED" in flags.values()]
    assert len(found) == 24
    assert all(found.values()), [name for name, flags in found.items() if not flags]
    assert len(red) >= 0.9 * len(found), set(found) - set(red)


@pytest.mark.slow
def test_honest_models_raise_no_red_flag(data, tmp_path):
    red = {}
    for number in range(12):
        model = pixel_model(Stripes(seed=20 + number, gain=1 + number / 2))
        flags = levels(evaluated(model, data, tmp_path / str(number)))
        if "RED" in flags.values():
            red[number] = flags
    assert not red


@pytest.mark.slow
@pytest.mark.parametrize(
    "defense", [("bit_depth", {"bits": 2}), ("bit_depth", {"bits": 1}), ("jpeg", {"quality": 30})]
)
def test_defenses_that_are_known_to_be_broken_fall_under_the_adaptive_run(defense, data, tmp_path):
    name, options = defense
    version = dataclasses.replace(SHORT, eps=(24,), curve=(0,), sample=2)
    model = Defended(build_defense(name, **options), pixel_model(Stripes()))
    rows = evaluated(model, data, tmp_path, version)["tracks"]["Q"]["24"]["defense"]
    print(rows)
    assert rows["adaptive"] < rows["oblivious"] - 0.05


class Broken(GradientAttack):
    """Finds what it finds, and gives back something else where ``fails`` says so."""

    fails = staticmethod(lambda attack: True)

    def __call__(self, model, batch, references=None):
        found = super().__call__(model, batch, references)
        if not self.fails(self):
            return found
        return dataclasses.replace(found, images=batch.images, after=found.before)


def planted_attack(monkeypatch, fails):
    """Make the attacks of the trials broken ones; single steps stay as they are."""
    honest = sample.apgd

    def apgd(objective, budget):
        attack = honest(objective, budget)
        attack.__class__ = type("Planted", (Broken,), {"fails": staticmethod(fails)})
        return attack

    monkeypatch.setattr(sample, "apgd", apgd)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fails", "names"),
    [
        (lambda attack: True, {"SILENT", "ITER", "UNB"}),
        (lambda attack: attack.linf > 0.5, {"SILENT", "MONO", "UNB"}),
    ],
)
def test_an_attack_that_is_broken_gives_itself_away(fails, names, data, tmp_path, monkeypatch):
    version = dataclasses.replace(QUICK, eps=(40,), curve=(0, 40, 255), steps=20)
    planted_attack(monkeypatch, fails)
    flags = levels(evaluated(pixel_model(Stripes()), data, tmp_path, version))
    assert names <= {name for name, level in flags.items() if level == "RED"}
