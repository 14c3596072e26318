"""Distances that are learned from labeled training features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from torchreid_adv.distances.base import Distance
from torchreid_adv.distances.mahalanobis import LinearDistance
from torchreid_adv.errors import DataError

F = TypeVar("F", bound="FittedDistance")


class FittedDistance(LinearDistance, ABC):
    """A Mahalanobis distance whose linear map is computed by :meth:`fit`, in float64.

    Args:
        normalize: L2-normalize features first, in fitting and in use.
    """

    @property
    def fitted(self) -> bool:
        """Whether :meth:`fit` was called, or a stored map loaded."""
        return self.factor is not None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that decide the map for given features."""
        return {"name": self.name, "normalize": self.normalize, "options": self.options}

    def take(self, other: FittedDistance) -> None:
        """Copy the map of another distance."""
        assert other.factor is not None
        self.set_map(other.factor, other.center)

    def fit(self: F, features: Tensor, pids: Tensor, camids: Tensor) -> F:
        """Learn the map from the features of a training set.

        Args:
            features: (N, D), the output of the network.
            pids: (N,) identities.
            camids: (N,) cameras.

        Returns:
            this distance.

        Raises:
            DataError: the features are not finite or all equal, the labels differ in number, or
                there are no pairs to learn from.
        """
        pids, camids = (torch.as_tensor(labels).cpu() for labels in (pids, camids))
        if features.ndim != 2 or {len(pids), len(camids)} != {len(features)}:
            raise DataError(
                f"the distance '{self.name}' is fitted on features (N, D) with N pids and camids, "
                f"got {tuple(features.shape)}, {len(pids)} and {len(camids)}"
            )
        with torch.no_grad():
            values = Distance.map(self, features.detach().cpu().double())
            if not torch.isfinite(values).all():
                raise DataError("the training features hold NaN or infinity")
            if bool((values == values[:1]).all()):
                raise DataError(
                    f"the distance '{self.name}' needs training features that differ, got "
                    f"{len(values)} of the same; check the model's weights and the data set"
                )
            center = values.mean(0)
            values = values - center
            if values.shape[1] > len(values):  # the features span no more directions than samples
                basis = torch.linalg.qr(values.T).Q
                factor = basis @ self._factor(values @ basis, pids, camids)
            else:
                factor = self._factor(values, pids, camids)
        self.set_map(factor, center)
        return self

    @abstractmethod
    def _factor(self, features: Tensor, pids: Tensor, camids: Tensor) -> Tensor:
        """Return L (D, E) learned from centered float64 features (N, D).

        Raises:
            DataError: a required kind of pair is missing.
        """


def mean_scatter(
    features: Tensor, include: Sequence[Tensor], exclude: Sequence[Tensor] = ()
) -> tuple[Tensor, int]:
    """Return the mean of ``(x_i - x_j)(x_i - x_j)^T`` over a set of pairs, and their number.

    Args:
        features: (N, D) float64, best centered.
        include: groupings (N,) whose pairs are counted.
        exclude: groupings (N,) whose pairs are excluded; they must be among the counted pairs.

    Returns:
        the mean (D, D), zero if there is no pair.
    """
    signed = [(1, group) for group in include] + [(-1, group) for group in exclude]
    width = features.shape[1]
    degrees = torch.zeros(len(features), dtype=torch.float64)
    outer, count = features.new_zeros(width, width), 0
    for sign, group in signed:
        names, of = group.unique(return_inverse=True)
        sizes = of.bincount()
        degrees += sign * sizes[of]
        sums = features.new_zeros(len(names), width).index_add_(0, of, features)
        outer += sign * (sums.T @ sums)
        count += sign * int((sizes * (sizes - 1) // 2).sum())
    if not count:
        return torch.zeros_like(outer), 0
    return (features.T @ (degrees[:, None] * features) - outer) / count, count


def together(pids: Tensor, camids: Tensor) -> Tensor:
    """Return the grouping (N,) by identity and camera."""
    return torch.stack([pids, camids]).unique(dim=1, return_inverse=True)[1]


def everything(pids: Tensor) -> Tensor:
    """Return the grouping (N,) with all images in one group."""
    return torch.zeros_like(pids)
