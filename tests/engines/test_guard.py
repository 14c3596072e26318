"""The guard: silent on healthy training, loud on what has failed."""

import dataclasses
import math

import pytest
import torch
from test_adversarial_training import EUCLIDEAN, settings, trained  # noqa: F401
from torch import nn

from torchreid_adv.engines import guard
from torchreid_adv.engines.guard import Guard, Look, failures
from torchreid_adv.engines.inner_attack import InnerAttack
from torchreid_adv.models import PixelModel

EPS = 10 / 255
GOOD = Look(0.9, 0.6, 0.55, 0.8, 1.1, 30.0, 0.0, 64)


def attack():
    return InnerAttack(
        objective="self", distance=EUCLIDEAN, eps=EPS, step_size=1.25 * EPS, steps=1,
        start="random", seed=0,
    )  # fmt: skip


class Round(nn.Module):
    """Features on a circle, which one step of the bound goes around and five levels cross."""

    def __init__(self):
        super().__init__()
        self.speed = nn.Parameter(torch.tensor(2 * math.pi * 255 / 9.8))

    def forward(self, images):
        angle = images.mean((1, 2, 3)) * self.speed
        return torch.stack([angle.cos(), angle.sin()], 1)


class Alike(nn.Module):
    """Features that are nearly the same for all images."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 8)
        nn.init.constant_(self.linear.bias, 50.0)

    def forward(self, images):
        return self.linear(images.mean((2, 3)))


def looked(network, levels):
    images = torch.stack([torch.full((3, 16, 8), level / 255) for level in levels])
    pids = torch.tensor([0, 0, 1, 1])
    watch = Guard(images, pids, attack())
    model = PixelModel(network, size=(16, 8), mean=(0, 0, 0), std=(1, 1, 1))
    return watch, watch.look(model, attack())


def test_a_network_that_only_breaks_the_short_attack_is_named(capsys):
    watch, found = looked(Round().train(), [98.0, 98.2, 102.9, 103.1])
    (look,) = watch.looks
    assert look.clean == 1
    assert look.trained - look.searched > 0.5
    assert "catastrophic overfitting" in found[0]
    assert "n_fgsm" in capsys.readouterr().out


def test_features_that_are_all_alike_are_named(capsys):
    torch.manual_seed(0)
    _, found = looked(Alike(), [40.0, 60.0, 160.0, 200.0])
    assert "collapse" in found[-1]
    assert "adv.training.warmup" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"searched": 0.3}, "catastrophic"),
        ({"alignment": 0.35, "trained": 0.7}, "catastrophic"),
        ({"alignment": 0.35}, ""),
        ({"trained": 0.9}, "catastrophic"),
        ({"distance": 0.25}, "collapse"),
        ({"searched": 0.5, "alignment": 0.7}, ""),
    ],
)
def test_signs_are_told_from_noise(change, word):
    found = failures(dataclasses.replace(GOOD, **change), [GOOD])
    assert bool(found) == bool(word)
    assert all(word in sentence for sentence in found)


@pytest.mark.parametrize("seed", range(5))
def test_the_guard_is_silent_on_healthy_training(settings, seed, capsys):  # noqa: F811
    trained(
        settings, adv__training__guard=1, adv__training__evaluate=False, train__seed=seed,
        train__max_epoch=2, adv__training__steps=7,
    )  # fmt: skip
    said = capsys.readouterr().out
    assert said.count("=> Guard: ") == 2
    assert "warning: c" not in said


def test_measures_of_features_are_what_they_say():
    torch.manual_seed(1)
    features = nn.functional.normalize(torch.randn(400, 64), dim=1)
    assert guard.mean_distance(features) == pytest.approx(math.sqrt(2), abs=0.02)
    assert 55 < guard.effective_rank(features) < 64
    assert guard.effective_rank(features[:, :1] @ torch.ones(1, 64)) == pytest.approx(1, abs=0.01)
    features[:, :16] = 0.1
    assert guard.dead_share(features) == 0.25
    pids = torch.arange(4).repeat_interleave(2)
    same = nn.functional.one_hot(pids).float()
    assert guard.nearest_right(same, same, pids) == 1
    assert guard.nearest_right(same.roll(2, 0), same, pids) == 0


def test_rows_are_pairs_of_identities_and_always_the_same():
    pids = [1, 1, 1, 2, 3, 3, 4, 4] * 20
    rows = guard.fixed_rows(pids)
    assert rows == guard.fixed_rows(pids)
    assert len(rows) == len(set(rows)) == 64
    few = guard.fixed_rows([1, 2, 3, 3])
    assert few == [2, 3]
    assert guard.fixed_rows([1, 2]) == []
