"""Objectives between an image's own identity and another one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torchreid_adv.attacks.objectives import Embed, Losses, Objective
from torchreid_adv.attacks.references import References
from torchreid_adv.data.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError


class FurthestNegative(Objective):
    """Away from all of the own identity's features, towards the furthest other identity (FNA).

    ``sum_i |f - p_i|^2 - |f - c|^2`` (Bouniot et al., Vulnerability of Person Re-Identification
    Models to Metric Adversarial Attacks), where c is the mean feature of that other identity which
    is furthest from the clean image, found once.

    Args:
        distance: the metric that is attacked.
    """

    def __init__(self, distance: Distance) -> None:
        self.distance = distance

    def describe(self) -> dict[str, Any]:
        """Return the name of the metric."""
        return {
            "metric": self.distance.name,
            "normalized": self.distance.normalize,
        }

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> distance to their own identity minus that to the furthest other.

        Raises:
            ConfigError: no references are given, or all are of one identity.
            DataError: an image has none of its own identity.
        """
        if references is None:
            raise ConfigError("this attack needs references: pass References(features, rule=...)")
        means, spread = references.means(batch, self.distance)
        counts = references.positives(batch).sum(1).to(means)
        with torch.no_grad():
            clean = self.distance.map(embed(batch.images))
            far = self._furthest(clean, references, batch)

        def losses(images: Tensor) -> Tensor:
            mapped = self.distance.map(embed(images))
            push = counts * ((mapped - means).pow(2).sum(1) + spread)
            return (push - (mapped - far).pow(2).sum(1)) * self.distance.scale

        return losses

    def _furthest(self, clean: Tensor, references: References, batch: Batch) -> Tensor:
        pids, centers = references.centers(self.distance, batch.images)
        if len(pids) < 2:
            raise ConfigError("this attack needs references of two identities at least")
        assert batch.pids is not None  # the positives were found by them
        apart = torch.cdist(clean, centers)
        apart[batch.pids.to(pids.device)[:, None] == pids] = -1
        return centers[apart.argmax(1)]
