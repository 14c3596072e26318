"""Objectives on average precision: the score itself, its smooth form, the margin of matches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.attacks.loop.objectives import Embed, Losses, Objective
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, DataError


class RankScore(Objective):
    """One minus the average precision with which an image finds its identity on the other side.

    The image ranks all reference features by distance; those of its references are the matches,
    others of the same identity (own camera, itself) are left out, as in the evaluation. For a
    gallery image this is the ranking read from its side.

    Args:
        distance: the metric that ranks.
        temperature: 0 = the true score, which is constant between jumps and needs an attack
            without gradients; above 0 = ranks counted by sigmoids of distance differences divided
            by it (Brown et al., Smooth-AP), differentiable.
        targeted: the average precision itself, of the target identity.

    Raises:
        ConfigError: a negative temperature.
    """

    def __init__(
        self, distance: Distance, *, temperature: float = 0.0, targeted: bool = False
    ) -> None:
        if temperature < 0:
            raise ConfigError(f"the temperature of a rank score is 0 or more, got {temperature}")
        self.distance, self.temperature, self.targeted = distance, temperature, targeted

    def describe(self) -> dict[str, Any]:
        """Return the score, the metric that ranks and the direction."""
        return {
            "score": "smooth average precision" if self.temperature else "average precision",
            "temperature": self.temperature,
            "metric": self.distance.name,
            "normalized": self.distance.normalize,
            "targeted": self.targeted,
        }

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> one minus the average precision of each, or it when targeted.

        Raises:
            ConfigError: no references are given.
            DataError: an image has none.
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
    """Return which references an image of a batch should find, and which do not count for it.

    Returns:
        (N, R) bool, its references; and (N, R) bool, others of its identity.

    Raises:
        ConfigError: no references are given.
        DataError: an image has none.
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
        distances: (N, R), infinite where a column does not count.
        positives: (N, R) bool, the matches, one in each row at least.
    """
    hits = positives.gather(1, distances.argsort(dim=1, stable=True)).to(distances)
    places = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    return (hits.cumsum(1) / places * hits).sum(1) / hits.sum(1)


def smooth_precision(distances: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """Return the same with ranks counted by sigmoids of ``(d_match - d_other) / temperature``.

    Args:
        distances: (N, R), infinite where a column does not count.
        positives: (N, R) bool, the matches, one in each row at least.
        temperature: above 0, in the unit of the distances.
    """
    scores = []
    for row, matches in zip(distances, positives, strict=True):
        counts = torch.sigmoid((row[matches, None] - row) / temperature)
        above, all_above = counts[:, matches].sum(1), counts.sum(1)
        scores.append(((above + 0.5) / (all_above + 0.5)).mean())  # half of itself is in both
    return torch.stack(scores)


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
