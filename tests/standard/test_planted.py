"""A solution is planted within the ball, and the attacks have to find it."""

import dataclasses

import pytest
import torch
from people import Stripes, pixel_model
from torch import nn
from torch.nn import functional as F

from torchreid_adv.attacks import References
from torchreid_adv.attacks.average_precision import RankLoss
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import build_distance
from torchreid_adv.models import Features
from torchreid_adv.standard import ensemble
from torchreid_adv.standard.versions import LITE, STANDARD

EPS, COUNT, MANY = 8 / 255, 5, 100
UNIT = build_distance("euclidean", normalize=True)


class Planted(nn.Module):
    """Honest features, and a trap: upper half brighter by eps, lower half darker, opens it.

    An open trap turns every feature to one direction, which all wrong identities are nearer to.
    """

    def __init__(self):
        super().__init__()
        self.network = Stripes(gain=0.1)
        self.register_buffer("trap", F.one_hot(torch.tensor(0), 33).float())

    def forward(self, images):
        honest = F.normalize(self.network(images), dim=1)
        upper, lower = images[..., :8, :].mean((1, 2, 3)), images[..., 8:, :].mean((1, 2, 3))
        open_by = F.softplus(3 * ((upper - lower) / EPS - 0.5)) / 2
        return F.pad(honest, (1, 0)) + open_by[:, None] * self.trap


@pytest.fixture(scope="module")
def planted():
    return cases_of(COUNT)


def cases_of(count):
    """The model, and for each of so many images the batch, its references and the solution."""
    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(0)
    blocks = 0.1 + 0.8 * torch.rand(count, 3, 8, 4, generator=draws)
    images = blocks.repeat_interleave(2, 2).repeat_interleave(2, 3)
    half = images[..., :8, :].mean((1, 2, 3)) - images[..., 8:, :].mean((1, 2, 3))
    images[..., :8, :] -= half.view(-1, 1, 1, 1) / 2  # all traps are equally far from open
    images[..., 8:, :] += half.view(-1, 1, 1, 1) / 2
    images.clamp_(0, 1)
    model = pixel_model(Planted())
    with torch.no_grad():
        right = model(images) + 0.05 * torch.randn(count, 33, generator=draws)
    right[:, 0] = -0.5  # away from the trap
    others = torch.randn(60, 33, generator=draws).abs() * 0.1
    others[:, 0] = 1  # what lies in the direction of the trap
    sign = torch.cat([torch.ones(3, 8, 8), -torch.ones(3, 8, 8)], dim=1)
    solutions = (images + EPS * sign).clamp(0, 1)
    names = tuple(map(str, range(61)))
    cases = []
    for row in range(count):
        values = torch.cat([right[row : row + 1], others])
        references = Features(values, torch.arange(61), torch.ones(61).long(), names)
        batch = Batch(images[row : row + 1], pids=torch.zeros(1).long(), camids=torch.zeros(1))
        cases.append((batch, References(references), solutions[row : row + 1]))
    return model, cases


def attack(name, version=STANDARD):
    if name == "pull":
        return ensemble.pull(version, EPS, UNIT, 4)
    if name == "square":
        return ensemble.square(dataclasses.replace(STANDARD, square=3000), EPS, UNIT)
    return getattr(ensemble, name)(version, EPS, UNIT)


@pytest.mark.parametrize(
    "name",
    ["push", *[pytest.param(n, marks=pytest.mark.slow) for n in ("margin", "pull", "square")]],
)
def test_the_planted_solution_is_found(planted, name):
    model, cases = planted
    objective, own = RankLoss(UNIT), attack(name)
    for batch, references, solution in cases:
        found = own(model, batch, references)
        with torch.no_grad():
            losses = objective.bind(model, batch, references)
            clean, wanted, reached = losses(batch.images), losses(solution), losses(found.images)
        assert float(wanted - clean) > 0.5  # the solution is one
        assert float(reached) >= float(wanted) - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["push", "margin", "pull", "square"])
def test_of_a_hundred_planted_solutions_ninety_nine_are_found(name):
    model, cases = cases_of(MANY)
    objective, own, hits = RankLoss(UNIT), attack(name, LITE), 0
    for batch, references, solution in cases:
        found = own(model, batch, references)
        with torch.no_grad():
            losses = objective.bind(model, batch, references)
            hits += float(losses(found.images)) >= float(losses(solution)) - 0.02
    print(name, hits)
    assert hits >= 0.99 * MANY
