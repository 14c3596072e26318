"""Distances between features: maps into a space where the distance is squared Euclidean."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.registry import DISTANCES


class Distance(nn.Module):
    """A distance of the form ``scale * |map(a) - map(b)|^2``, differentiable.

    Euclidean, cosine and Mahalanobis distances have this form, so an attack on them needs only the
    mean of the mapped reference features. A distance of another form sets
    ``squared_euclidean = False``, and attacks evaluate it instead.

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
        """The name of the distance in configs and results."""
        return type(self).__name__.lower()

    @property
    def options(self) -> dict[str, Any]:
        """Other options that decide the distance, besides ``normalize``; plain values, for JSON."""
        return {}

    def facts(self) -> dict[str, Any]:
        """Return what decides the distance as plain values, for results and cache keys."""
        facts: dict[str, Any] = {"name": self.name, "normalize": self.normalize}
        return {**facts, "options": self.options} if self.options else facts

    def map(self, features: Tensor) -> Tensor:
        """Map features (N, D) into the space (N, E) in which distances are Euclidean."""
        return F.normalize(features, dim=1) if self.normalize else features

    def between(self, a: Tensor, b: Tensor, *, squares: Tensor | None = None) -> Tensor:
        """Return the distances (N, M) between mapped features a (N, E) and b (M, E).

        The order of operations is that of torchreid's ``compute_distance_matrix``, so that both
        give the same bits for the same rows.

        Args:
            a: mapped features of one side.
            b: mapped features of the other side.
            squares: (M,) ``|b|^2`` if already known (b meets many blocks of a).
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
        """Return ``1 - cos`` (N, M) for unit features; ``squares`` are 1 and ignored."""
        return torch.mm(a, b.t()).neg_().add_(1)
