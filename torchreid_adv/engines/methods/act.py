"""ACT: the anti-collapse triplet defense."""

from __future__ import annotations

import torch
from torch import Tensor

from torchreid_adv.attacks.loop.objectives import Embed, Losses, Objective
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.engines.batches import Mixture
from torchreid_adv.engines.methods.base import Sample
from torchreid_adv.engines.methods.triplets import (
    TripletAttack,
    TripletMethod,
    Triplets,
    apart,
    of_triplets,
    perturbed,
)
from torchreid_adv.registry import TRAININGS


class Collapse(Objective):
    """``-|f(p + dp) - f(n + dn)|`` of pairs: a batch of positives, then their negatives.

    Args:
        distance: whose map the features pass.
    """

    scope = "batch"

    def __init__(self, distance: Distance) -> None:
        self.distance = distance

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images (2 T, 3, H, W) -> half of each pair's value (2 T,)."""

        def losses(images: Tensor) -> Tensor:
            positives, negatives = self.distance.map(embed(images)).chunk(2)
            return (apart(positives, negatives) / -2).repeat(2)

        return losses


@TRAININGS.register(
    "act",
    title="triplet loss on positives and negatives that PGD draws together",
    paper="Zhou et al., Adversarial Attack and Defense in Deep Ranking, 2021",
)
class ACT(TripletMethod):
    """``min_d |f(p + dp) - f(n + dn)|``, then the triplet loss of clean a, p', n'.

    The attack sees the pairs alone, so that it cannot draw the whole batch to one point. For T
    triplets of a batch of N = 2 T images: k passes of N images, and a training pass of 1.5 N.
    Departures: the loss is on mapped features with ``loss.triplet.margin``, and triplets are mined
    by :func:`softhard <torchreid_adv.engines.methods.triplets.softhard>`.
    """

    def goal(self, distance: Distance) -> Objective:
        """Return the distance between positives and negatives, negated."""
        return Collapse(distance)

    def passed(self, sample: Sample, triplets: Triplets, inner: TripletAttack) -> Mixture:
        """Return clean anchors, attacked positives, attacked negatives."""
        pairs = torch.cat([triplets.positives, triplets.negatives])
        images = torch.cat([sample.images[triplets.anchors], perturbed(sample, pairs, inner)])
        rows = torch.cat([triplets.anchors, pairs])
        attacked = torch.arange(len(rows), device=rows.device) >= len(triplets)
        return of_triplets(sample, images, rows, attacked)
