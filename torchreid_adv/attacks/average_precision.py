"""Objectives on average precision: the score, a smooth approximation, and the rank margin."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.attacks.loop.objectives import DistanceObjective, Embed, Losses
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, DataError


class RankScore(DistanceObjective):
    """One minus the average precision of an image's search for its identity on the other side.

    The image ranks all reference features by distance. Its references are the matches; other
    features of its identity (same camera, itself) are left out, as in the evaluation. For a gallery
    image this is the ranking seen from its side.

    Args:
        distance: the metric that ranks.
        temperature: 0 = the exact score, which is piecewise constant and needs an attack without
            gradients; above 0 = differentiable ranks, counted by sigmoids of distance differences
            divided by it (Brown et al., Smooth-AP).
        targeted: use the average precision of the target identity itself.

    Raises:
        ConfigError: the temperature is negative.
    """

    def __init__(
        self, distance: Distance, *, temperature: float = 0.0, targeted: bool = False
    ) -> None:
        if temperature < 0:
            raise ConfigError(f"the temperature of a rank score is 0 or more, got {temperature}")
        super().__init__(distance)
        self.temperature, self.targeted = temperature, targeted

    def describe(self) -> dict[str, Any]:
        """Return the score, the metric that ranks, and the direction."""
        return {
            "score": "smooth average precision" if self.temperature else "average precision",
            "temperature": self.temperature,
            **super().describe(),
            "targeted": self.targeted,
        }

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> one minus each average precision, or the precision itself if targeted.

        Raises:
            ConfigError: references are missing.
            DataError: an image has no reference.
        """
        like = batch.images
        positives, junk = matches(references, batch)
        assert references is not None
        mapped = self.distance.map(references.features.values.to(like)).detach()

        def losses(images: Tensor) -> Tensor:
            between = self.distance.between(self.distance.map(embed(images)), mapped)
            between = between.masked_fill(junk, float("inf"))
            if self.temperature:
                score = smooth_precision(between, positives, self.temperature)
            else:
                score = average_precision(between, positives)
            return score if self.targeted else 1 - score

        return losses


def matches(references: References | None, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the matching references of each image, and the references that do not count.

    Returns:
        (N, R) bool, the references; and (N, R) bool, other features of the identity.

    Raises:
        ConfigError: references are missing.
        DataError: an image has no reference.
    """
    if references is None:
        raise ConfigError("this attack needs references: pass References(features, rule=...)")
    device = batch.images.device
    positives = references.positives(batch).to(device)
    if not positives.any(1).all():
        raise DataError(
            f"{int((~positives.any(1)).sum())} of {len(batch)} images have no reference of "
            "their identity; leave them out of the batch"
        )
    same = dataclasses.replace(references, rule="all").positives(batch).to(device)
    return positives, same & ~positives


def average_precision(distances: Tensor, positives: Tensor) -> Tensor:
    """Return each row's average precision (N,): the mean over matches of (i + 1) / (r + 1).

    Args:
        distances: (N, R), infinite for columns that do not count.
        positives: (N, R) bool, the matches, at least one in each row.
    """
    hits = positives.gather(1, distances.argsort(dim=1, stable=True)).to(distances)
    places = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    return (hits.cumsum(1) / places * hits).sum(1) / hits.sum(1)


def smooth_precision(distances: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """Return the same with ranks counted by sigmoids of ``(d_match - d_other) / temperature``.

    Args:
        distances: (N, R), infinite for columns that do not count.
        positives: (N, R) bool, the matches, at least one in each row.
        temperature: above 0, in the unit of the distances.
    """
    scores = []
    for row, matches in zip(distances, positives, strict=True):
        counts = torch.sigmoid((row[matches, None] - row) / temperature)
        above, all_above = counts[:, matches].sum(1), counts.sum(1)
        # both counts have half of the match itself
        scores.append(((above + 0.5) / (all_above + 0.5)).mean())
    return torch.stack(scores)


HARDEST = 3  # nearest incorrect matches in a margin
TOP = 10  # nearest references whose spread is the unit of a margin
TIE = 0.01  # of an average precision: the weight of a margin where that is constant
_TINY = 1e-6


class RankMargin(DistanceObjective):
    """Mean distance to correct matches minus that to the nearest incorrect ones, without a unit.

    ``(mean d(f, p_i) - mean of the 3 smallest d(f, n_j)) / spread``. Matches are correct or
    incorrect as in the evaluation. The spread is that between the nearest and the tenth nearest
    reference of the clean image. It makes losses of different models comparable, as in the DLR loss
    (Croce and Hein, 2020, eq. 6), and it is fixed, so an attack cannot raise the loss by
    shrinking it.

    Args:
        distance: the metric that ranks.
    """

    def describe(self) -> dict[str, Any]:
        """Return the metric and the margin."""
        return {
            **super().describe(),
            "margin": f"right matches against the {HARDEST} nearest wrong ones",
        }

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> margins (N,); above 0 if the nearest incorrect matches are nearer.

        Raises:
            ConfigError: references are missing.
            DataError: an image has no reference, or there is no incorrect match.
        """
        between_of, positives, junk = ranked(self.distance, embed, batch, references)
        with torch.no_grad():
            clean = between_of(batch.images).masked_fill(junk, float("inf"))
            spread = _spread(clean)

        def losses(images: Tensor) -> Tensor:
            return margin(between_of(images), positives, junk) / spread

        return losses


class RankLoss(RankMargin):
    """One minus the average precision; where it is constant, the margin decides.

    For attacks without gradients, and for choosing among images: the exact score is piecewise
    constant, and a margin, squashed to a hundredth, points to the next jump.
    """

    def describe(self) -> dict[str, Any]:
        """Return the metric and the score."""
        return {**super().describe(), "score": "average precision"}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> losses (N,) in [0, 1 + 0.01]; errors as in :class:`RankMargin`."""
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
    """Return images -> distances (N, R) to all references, the matches, and what does not count.

    Raises:
        ConfigError: references are missing.
        DataError: an image has no reference, or there is no incorrect match.
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
    """Return the mean distance to matches minus that to the nearest wrong images (N,).

    Args:
        distances: (N, R).
        positives: (N, R) bool, correct matches.
        junk: (N, R) bool, references that do not count.
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
