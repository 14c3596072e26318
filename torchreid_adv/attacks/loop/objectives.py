"""Objectives: what an attack makes grow, one number per image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor

from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError

Embed = Callable[[Tensor], Tensor]  # images (N, 3, H, W) -> features (N, D)
Losses = Callable[[Tensor], Tensor]  # images (N, 3, H, W) -> losses (N,)


class Objective(ABC):
    """What grows. ``scope`` "image" means that an image's loss ignores its neighbors."""

    scope = "image"

    def describe(self) -> dict[str, Any]:
        """Return what a report says of the objective."""
        return {}

    @abstractmethod
    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return the function from images to losses (N,) for one batch."""


class MetricDistance(Objective):
    """Mean distance to the reference features (Bai et al., eqs. 3-8).

    Args:
        distance: the metric that is attacked.
        targeted: pull towards the references instead of pushing away from them (eq. 8).

    With several references the paper's code sums over them; their mean has the same sign of the
    gradient, and is a distance that can be read.
    """

    def __init__(self, distance: Distance, *, targeted: bool = False) -> None:
        self.distance = distance
        self.targeted = targeted

    def describe(self) -> dict[str, Any]:
        """Return the name of the metric and the direction."""
        return {
            "metric": self.distance.name,
            "normalized": self.distance.normalize,
            "targeted": self.targeted,
        }

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> mean distance to each image's references, negated when targeted.

        Raises:
            ConfigError: no references are given.
            DataError: an image has none.
        """
        if references is None:
            raise ConfigError("this attack needs references: pass References(features, rule=...)")
        mean_distance = references.mean_distance(batch, self.distance)
        sign = -1 if self.targeted else 1

        def losses(images: Tensor) -> Tensor:
            return mean_distance(self.distance.map(embed(images))) * sign

        return losses
