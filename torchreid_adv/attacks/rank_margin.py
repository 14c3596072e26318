"""How far wrong matches are nearer than right ones: what grows when a ranking falls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.attacks.objectives import Embed, Losses, Objective
from torchreid_adv.attacks.rank_score import average_precision, matches
from torchreid_adv.attacks.references import References
from torchreid_adv.data.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import DataError

HARDEST = 3  # nearest wrong matches that a margin looks at
TOP = 10  # nearest references whose spread is its unit
TIE = 0.01  # of an average precision: what a margin is worth where that does not change
_TINY = 1e-6


class RankMargin(Objective):
    """Mean distance to the right matches minus that to the nearest wrong ones, without a unit.

    ``(mean d(f, p_i) - mean of the 3 smallest d(f, n_j)) / spread``: right and wrong are what they
    are in the evaluation. The spread, between the nearest and the tenth nearest reference of the
    clean image, makes losses of different models comparable, as the DLR loss does for classes
    (Croce and Hein, 2020, eq. 6). It stays what it is at the clean image, so that it is no way to
    a larger loss.

    Args:
        distance: the metric that ranks.
    """

    def __init__(self, distance: Distance) -> None:
        self.distance = distance

    def describe(self) -> dict[str, Any]:
        """Return the metric, and what is compared."""
        return {
            "metric": self.distance.name,
            "normalized": self.distance.normalize,
            "margin": f"right matches against the {HARDEST} nearest wrong ones",
        }

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> margins (N,); above 0 the nearest wrong matches are nearer.

        Raises:
            ConfigError: no references are given.
            DataError: an image has none, or there is no wrong match.
        """
        between_of, positives, junk = ranked(self.distance, embed, batch, references)
        with torch.no_grad():
            clean = between_of(batch.images).masked_fill(junk, float("inf"))
            spread = _spread(clean)

        def losses(images: Tensor) -> Tensor:
            return margin(between_of(images), positives, junk) / spread

        return losses


class RankLoss(RankMargin):
    """One minus the average precision; where that does not change, the margin decides.

    For attacks without gradients, and to choose among images: the true score is constant between
    jumps, and a margin, squashed to a hundredth, says which way the next jump lies.
    """

    def describe(self) -> dict[str, Any]:
        """Return the metric and the score."""
        return {**super().describe(), "score": "average precision"}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> losses (N,) in [0, 1 + 0.01]; errors as :class:`RankMargin`."""
        between_of, positives, junk = ranked(self.distance, embed, batch, references)
        with torch.no_grad():
            spread = _spread(between_of(batch.images).masked_fill(junk, float("inf")))

        def losses(images: Tensor) -> Tensor:
            between = between_of(images)
            tie = torch.sigmoid(margin(between, positives, junk) / spread)
            score = average_precision(between.masked_fill(junk, float("inf")), positives)
            return 1 - score + TIE * tie

        return losses


def ranked(
    distance: Distance, embed: Embed, batch: Batch, references: References | None
) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """Return images -> distances (N, R) to all references, which are right, which do not count.

    Raises:
        ConfigError: no references are given.
        DataError: an image has none, or there is no wrong match.
    """
    positives, junk = matches(references, batch)
    assert references is not None
    if bool((positives | junk).all(1).any()):
        raise DataError("an attack on ranks needs references of two identities at least")
    mapped = distance.map(references.features.values.to(batch.images)).detach()

    def between_of(images: Tensor) -> Tensor:
        return distance.between(distance.map(embed(images)), mapped)

    return between_of, positives, junk


def margin(distances: Tensor, positives: Tensor, junk: Tensor) -> Tensor:
    """Return mean right minus mean nearest wrong distance (N,).

    Args:
        distances: (N, R).
        positives: (N, R) bool, right matches.
        junk: (N, R) bool, what does not count.
    """
    far = distances.masked_fill(~positives, 0).sum(1) / positives.sum(1)
    others = ~(positives | junk)
    wrong = distances.masked_fill(~others, float("inf"))
    count = min(HARDEST, int(others.sum(1).min()))
    return far - wrong.topk(count, largest=False).values.mean(1)


def _spread(distances: Tensor) -> Tensor:
    """Return the tenth smallest minus the smallest finite distance of each row (N,)."""
    count = min(TOP, int(distances.isfinite().sum(1).min()))
    nearest = distances.topk(count, largest=False).values
    return (nearest[:, -1] - nearest[:, 0]).clamp_min(_TINY)
