"""What a distance between features is: a map into a space where it is a squared Euclidean one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.registry import DISTANCES


class Distance(nn.Module):
    """A distance of the form ``scale * |map(a) - map(b)|^2``, differentiable.

    Euclidean, cosine and Mahalanobis distances all are, which is why the mean of the mapped
    reference features is all that an attack on them needs. One that is not of this form says so by
    ``squared_euclidean = False``, and is asked for its distances instead.

    Args:
        normalize: L2-normalize features first (torchreid's ``test.normalize_feature``).
    """

    scale = 1.0
    squared_euclidean = True

    def __init__(self, *, normalize: bool = False) -> None:
        super().__init__()
        self.normalize = normalize

    @property
    def name(self) -> str:
        """What selects the distance in a config, and names it in results."""
        return type(self).__name__.lower()

    @property
    def options(self) -> dict[str, Any]:
        """What else decides the distance, besides ``normalize``; plain values, for JSON."""
        return {}

    def facts(self) -> dict[str, Any]:
        """Return what decides the distance as plain values, for results and for keys of caches."""
        facts: dict[str, Any] = {"name": self.name, "normalize": self.normalize}
        return {**facts, "options": self.options} if self.options else facts

    def map(self, features: Tensor) -> Tensor:
        """Map features (N, D) into the space (N, E) in which distances are Euclidean."""
        return F.normalize(features, dim=1) if self.normalize else features

    def between(self, a: Tensor, b: Tensor, *, squares: Tensor | None = None) -> Tensor:
        """Return the distances (N, M) between mapped features a (N, E) and b (M, E).

        Written in the order of operations of torchreid's ``compute_distance_matrix``, so that the
        two agree to the last bit on the same rows.

        Args:
            a: mapped features of one side.
            b: mapped features of the other side.
            squares: (M,) ``|b|^2`` where it is known already (b is met by many blocks of a).
        """
        if squares is None:
            squares = b.pow(2).sum(1)
        sums = a.pow(2).sum(1, keepdim=True) + squares
        distances = sums.addmm_(a, b.t(), alpha=-2)
        return distances if self.scale == 1 else distances.mul_(self.scale)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distances (N, M) between features a (N, D) and b (M, D)."""
        return self.between(self.map(a), self.map(b))


@DISTANCES.register("euclidean")
class Euclidean(Distance):
    """Squared Euclidean distance, torchreid's ``euclidean``."""


@DISTANCES.register("cosine")
class Cosine(Distance):
    """One minus the cosine of the angle, torchreid's ``cosine``."""

    scale = 0.5

    def __init__(self, *, normalize: bool = True) -> None:
        super().__init__(normalize=True)

    def between(self, a: Tensor, b: Tensor, *, squares: Tensor | None = None) -> Tensor:
        """Return ``1 - cos`` (N, M) for unit features; ``squares`` are one and not looked at."""
        return torch.mm(a, b.t()).neg_().add_(1)
