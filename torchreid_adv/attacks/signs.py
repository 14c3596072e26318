"""Random signs: the noise that an attack has to be better than."""

from __future__ import annotations

import torch
from torch import Tensor

from torchreid_adv.attacks.objectives import Losses
from torchreid_adv.attacks.perturbations import LinfDelta
from torchreid_adv.attacks.queries import Proposals
from torchreid_adv.data.batch import Batch


class Signs(Proposals):
    """Every channel of every pixel at one of the two ends of its bound, at random.

    Args:
        batch: clean images.
        bounds: of the perturbation, reset to the batch.
        rounds: how often it will be asked.
        seed: of the signs.
    """

    def __init__(self, batch: Batch, bounds: LinfDelta, rounds: int, *, seed: int = 0) -> None:
        super().__init__(batch, bounds, rounds)
        self.draws = batch.rng(seed, "signs")

    def propose(self, best: Tensor, losses_of: Losses, number: int) -> Tensor:
        """Return the clean images with new noise each, whatever was best so far."""
        tried = self.batch.images.clone()
        for row, draws in enumerate(self.draws):
            height, width = self.bounds.sizes[row]
            area = (row, ..., slice(height), slice(width))
            up = torch.randint(2, (3, height, width), generator=draws).bool().to(best.device)
            tried[area] = torch.where(up, self.bounds.high[area], self.bounds.low[area])
        return tried
