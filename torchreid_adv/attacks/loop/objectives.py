"""Objectives: what an attack raises, one number per image."""

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
    """An objective to raise. ``scope`` "image": an image's loss is independent of the others."""

    scope = "image"

    def describe(self) -> dict[str, Any]:
        """Describe the objective for a report."""
        return {}

    @abstractmethod
    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return the function from images to losses (N,) for one batch."""


class DistanceObjective(Objective):
    """The base of objectives on a distance of features, which their description names.

    Args:
        distance: the distance to attack.
    """

    def __init__(self, distance: Distance) -> None:
        self.distance = distance

    def describe(self) -> dict[str, Any]:
        """Return the name of the metric."""
        return {"metric": self.distance.name, "normalized": self.distance.normalize}


class MetricDistance(DistanceObjective):
    """Mean distance to the reference features (Bai et al., eqs. 3-8).

    Args:
        distance: the distance to attack.
        targeted: pull toward the references instead of pushing away from them (eq. 8).

    With several references the paper's code uses their sum; the mean has the same gradient sign,
    and is a readable distance.
    """

    def __init__(self, distance: Distance, *, targeted: bool = False) -> None:
        super().__init__(distance)
        self.targeted = targeted

    def describe(self) -> dict[str, Any]:
        """Return the name of the metric and the direction."""
        return {**super().describe(), "targeted": self.targeted}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> mean distance to each image's references, negated if targeted.

        Raises:
            ConfigError: references are missing.
            DataError: an image has no reference.
        """
        if references is None:
            raise ConfigError("this attack needs references: pass References(features, rule=...)")
        mean_distance = references.mean_distance(batch, self.distance)
        sign = -1 if self.targeted else 1

        def losses(images: Tensor) -> Tensor:
            return mean_distance(self.distance.map(embed(images))) * sign

        return losses
