"""What a ranking is scored by, as an objective: average precision, true or smooth."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.attacks.objectives import Embed, Losses, Objective
from torchreid_adv.attacks.references import References
from torchreid_adv.data.batch import Batch
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
