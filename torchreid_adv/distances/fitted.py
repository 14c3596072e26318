"""Distances that are learned from labeled training features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeVar

import torch
from torch import Tensor

from torchreid_adv.distances.base import Distance
from torchreid_adv.distances.linear import LinearDistance
from torchreid_adv.errors import DataError

F = TypeVar("F", bound="FittedDistance")


class FittedDistance(LinearDistance, ABC):
    """A Mahalanobis distance whose linear map is found by :meth:`fit`, in float64.

    Args:
        normalize: L2-normalize features first, in fitting and in use.
    """

    @property
    def fitted(self) -> bool:
        """Whether :meth:`fit` was called, or a stored map taken over."""
        return self.factor is not None

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the map besides the features: two of the same settings fit the same."""
        return {"name": self.name, "normalize": self.normalize, "options": self.options}

    def take(self, other: FittedDistance) -> None:
        """Take over the map of another one."""
        assert other.factor is not None
        self.set_map(other.factor, other.center)

    def fit(self: F, features: Tensor, pids: Tensor, camids: Tensor) -> F:
        """Learn the map from the features of a training set.

        Args:
            features: (N, D), as the network gives them.
            pids: (N,) identities.
            camids: (N,) cameras.

        Returns:
            this distance.

        Raises:
            DataError: features that are not finite or all the same, labels of another number, or
                pairs that the distance cannot be learned from.
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
            DataError: there is no pair of a kind that is needed.
        """
