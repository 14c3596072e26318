"""The Square attack: random squares of noise, accepted if the loss rises."""

from __future__ import annotations

import functools
import math
from bisect import bisect_left

import torch
from torch import Tensor

from torchreid_adv.attacks.average_precision import RankScore
from torchreid_adv.attacks.black_box.query_attack import Proposals, QueryAttack
from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.loop.objectives import Losses, MetricDistance, Objective
from torchreid_adv.attacks.loop.perturbations import LinfDelta
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, suggest

# queries at which the area halves, of 10,000
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_SCHEDULE = 10_000


class Squares(Proposals):
    """Squares of extreme color at random places (Andriushchenko et al., Square Attack).

    It starts with vertical stripes one pixel wide, followed by squares whose area shrinks, drawn
    per image. For an image lower or narrower than the square, it draws a rectangle.

    Args:
        batch: clean images.
        bounds: bounds of the perturbation, reset to the batch.
        rounds: number of proposals; the published schedule is stretched to it.
        p: share of the image that the first squares cover, (0, 1].
        seed: seed of the draws.
    """

    def __init__(
        self, batch: Batch, bounds: LinfDelta, rounds: int, *, p: float = 0.8, seed: int = 0
    ) -> None:
        super().__init__(batch, bounds, rounds)
        self.p, self.draws = p, batch.rng(seed, "square")

    def propose(self, best: Tensor, losses_of: Losses, number: int) -> Tensor:
        """Return the best images, each with another square."""
        tried = best.clone()
        for row, draws in enumerate(self.draws):
            height, width = self.bounds.sizes[row]
            if number == 0:
                top, left, h, w = 0, 0, height, width
                signs = torch.randint(2, (3, 1, width), generator=draws)
            else:
                top, left, h, w = self._place(height, width, number, draws)
                signs = torch.randint(2, (3, 1, 1), generator=draws)
            area = (row, ..., slice(top, top + h), slice(left, left + w))
            up = signs.bool().to(best.device)
            tried[area] = torch.where(up, self.bounds.high[area], self.bounds.low[area])
        return tried

    def _place(
        self, height: int, width: int, number: int, draws: torch.Generator
    ) -> tuple[int, int, int, int]:
        """Return top, left, height and width of the next square of an image."""
        side = max(1, round(math.sqrt(self.share(number) * height * width)))
        h, w = min(side, height), min(side, width)
        down, right = torch.rand(2, generator=draws, dtype=torch.float64).tolist()
        return int(down * (height - h + 1)), int(right * (width - w + 1)), h, w

    def share(self, number: int) -> float:
        """Return the share of an image that square number 1, 2, ... covers."""
        place = int((number - 1) / self.rounds * _SCHEDULE)
        return float(self.p / 2 ** bisect_left(_HALVINGS, place))


SCORES = ("distance", "ap", "smooth_ap")


def scored(score: str, distance: Distance, *, temperature: float, targeted: bool) -> Objective:
    """Return the objective of an attack by queries.

    Args:
        score: ``distance``, ``ap`` or ``smooth_ap``, as in :func:`square`.
        distance: the metric that ranks.
        temperature: temperature of smooth_ap, in units of the distance.
        targeted: pull instead of push.

    Raises:
        ConfigError: the score is unknown, or the temperature of smooth_ap is not above 0.
    """
    if score not in SCORES:
        raise ConfigError(f"unknown score '{score}'{suggest(score, SCORES)}")
    if score == "distance":
        return MetricDistance(distance, targeted=targeted)
    if score == "smooth_ap" and temperature <= 0:
        raise ConfigError(f"smooth_ap needs a temperature above 0, got {temperature}")
    temperature = temperature if score == "smooth_ap" else 0.0
    return RankScore(distance, temperature=temperature, targeted=targeted)


@attack(
    "square",
    paper="Andriushchenko et al., Square Attack, 2020",
    title="random squares, kept where they help; forward passes only",
)
def square(
    budget: Budget,
    distance: Distance,
    *,
    queries: int = 500,
    score: str = "distance",
    temperature: float = 0.01,
    p: float = 0.8,
    targeted: bool = False,
) -> QueryAttack:
    """Build the Square attack.

    Options:
        queries: answers asked for each image.
        score: the objective: ``distance`` to the references, or one minus the ``ap`` or
            ``smooth_ap`` of the ranking.
        temperature: temperature of smooth_ap, in units of the distance.
        p: share of the image that the first squares cover, (0, 1].
        targeted: pull instead of push.
    """
    if not 0 < p <= 1:
        raise ConfigError(f"p is the share of an image that a square covers, in (0, 1], got {p}")
    objective = scored(score, distance, temperature=temperature, targeted=targeted)
    squares = functools.partial(Squares, p=p, seed=budget.seed)
    return QueryAttack(objective, budget, squares, cost=1, queries=queries)
