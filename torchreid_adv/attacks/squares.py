"""The Square attack's proposals."""

from __future__ import annotations

import math
from bisect import bisect_left

import torch
from torch import Tensor

from torchreid_adv.attacks.objectives import Losses
from torchreid_adv.attacks.perturbations import LinfDelta
from torchreid_adv.attacks.queries import Proposals
from torchreid_adv.data.batch import Batch

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of the area, for 10,000 queries
_SCHEDULE = 10_000


class Squares(Proposals):
    """Squares of extreme color at random places (Andriushchenko et al., Square Attack).

    First vertical stripes one pixel wide, then squares whose area shrinks; each image draws its
    own. An image that is lower or narrower than the square takes a rectangle.

    Args:
        batch: clean images.
        bounds: of the perturbation, reset to the batch.
        rounds: how often it will be asked; the published schedule is stretched to it.
        p: share of the image that the first squares cover, (0, 1].
        seed: of the draws.
    """

    def __init__(
        self, batch: Batch, bounds: LinfDelta, rounds: int, *, p: float = 0.8, seed: int = 0
    ) -> None:
        super().__init__(batch, bounds, rounds)
        self.p, self.draws = p, batch.rng(seed, "square")

    def propose(self, best: Tensor, losses_of: Losses, number: int) -> Tensor:
        """Return the best images with one more square each."""
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
