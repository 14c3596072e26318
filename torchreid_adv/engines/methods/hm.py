"""HM: hardness manipulation, with the gradual adversary and intra-class structure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.attacks.loop.objectives import Embed, Losses, Objective
from torchreid_adv.attacks.references import References
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.engines.batches import Mixture
from torchreid_adv.engines.methods.base import Sample
from torchreid_adv.engines.methods.gradalign import averaged
from torchreid_adv.engines.methods.triplets import (
    TripletAttack,
    TripletMethod,
    Triplets,
    apart,
    of_triplets,
    perturbed,
)
from torchreid_adv.registry import TRAININGS


class Hardness(Objective):
    """``-max(0, H_D - H')^2`` with ``H' = d(a', p') - d(a', n')``: raise hardness to a mark.

    Args:
        distance: whose map the features pass.
        destination: returns H_D of now.
    """

    scope = "batch"

    def __init__(self, distance: Distance, destination: Callable[[], float]) -> None:
        self.distance, self.destination = distance, destination

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images (3 T, 3, H, W) -> a third of each triplet's value (3 T,)."""
        destination = self.destination()

        def losses(images: Tensor) -> Tensor:
            anchors, positives, negatives = self.distance.map(embed(images)).chunk(3)
            hardness = apart(anchors, positives) - apart(anchors, negatives)
            return ((destination - hardness).clamp_min(0).pow(2) / -3).repeat(3)

        return losses


@TRAININGS.register(
    "hm",
    title="triplet loss on triplets that PGD makes as hard as the network can bear",
    paper="Zhou and Patel, Enhancing Adversarial Robustness for Deep Metric Learning, 2022",
)
class HM(TripletMethod):
    """``min_d max(0, H_D - H')^2`` over all three images, then the triplet loss of a', p', n'.

    HM[S, g_LGA]: S is softhard sampling; ``H_D = -gamma min(u, l) / u`` (linear gradual adversary),
    with l the triplet loss of the batch before and u = gamma = ``loss.triplet.margin`` (0.2 in the
    paper). H_D stays at or below 0, semihard: harder marks collapse. ``adv.training.structure`` is
    lambda of ICS, ``lambda max(0, d(a, a') - d(a, p))``, 0.5 in the paper.

    For T triplets of a batch of N = 2 T images: k passes of 1.5 N images, and a training pass of
    1.5 N, with ICS 2.5 N. Departure: the published loop ends when its loss stands still; here all
    steps are taken, and images that have reached their mark do not move.
    """

    keeps = True

    def __init__(self, engine: Any, cfg: AdvConfig) -> None:
        self.structure = cfg.adv.training.structure
        super().__init__(engine, cfg)
        self.previous = self.criterion.margin  # the triplet loss of the batch before

    def destination(self) -> float:
        """Return H_D of now, in [-margin, 0]."""
        return -min(self.criterion.margin, self.previous)

    def goal(self, distance: Distance) -> Objective:
        """Return the hardness below its mark."""
        return Hardness(distance, self.destination)

    def passed(self, sample: Sample, triplets: Triplets, inner: TripletAttack) -> Mixture:
        """Return attacked anchors, positives and negatives, with ICS also clean pairs."""
        rows = torch.cat([triplets.anchors, triplets.positives, triplets.negatives])
        images, count = perturbed(sample, rows, inner), len(rows)
        if self.structure:
            clean = torch.cat([triplets.anchors, triplets.positives])
            images, rows = torch.cat([images, sample.images[clean]]), torch.cat([rows, clean])
        attacked = torch.arange(len(rows), device=rows.device) < count
        return of_triplets(sample, images, rows, attacked)

    @contextlib.contextmanager
    def around(self, engine: Any, sample: Sample, batch: Mixture) -> Iterator[dict[str, float]]:
        """Train on the triplets, and remember their loss."""
        with super().around(engine, sample, batch) as summary:
            yield summary
        loss = torch.tensor(self.criterion.value, dtype=torch.float64)
        self.previous = float(averaged(loss.to(sample.images.device, torch.float32)))

    def state(self) -> dict[str, Any]:
        """Return the loss of the last batch."""
        return {"previous": self.previous}

    def take_state(self, state: dict[str, Any]) -> None:
        """Continue with the loss of a checkpoint."""
        self.previous = float(state["previous"])
