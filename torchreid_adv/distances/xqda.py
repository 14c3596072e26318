"""XQDA: cross-view quadratic discriminant analysis."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from torchreid_adv.distances.fitted import FittedDistance, everything, mean_scatter, together
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.registry import DISTANCES


@DISTANCES.register(
    "xqda",
    paper="Liao et al., Person Re-identification by Local Maximal Occurrence Representation and "
    "Metric Learning, 2015",
    title="cross-view quadratic discriminant analysis, fitted on the training split",
)
class XQDA(FittedDistance):
    """A subspace that separates identities, and a quadratic metric in it (Liao et al., 2015).

    With the covariances Sigma_I of the differences of one identity seen by two cameras and Sigma_E
    of different identities seen by two cameras, the directions W are the generalized eigenvectors
    ``Sigma_E w = lambda Sigma_I w`` with lambda > 1, and the metric is
    ``W ((W^T Sigma_I W)^-1 - (W^T Sigma_E W)^-1) W^T``. Scaled to ``W^T Sigma_I W = I`` its kernel
    is ``I - diag(1 / lambda)``, positive by construction. Departures:

    - the paper has two views; here a pair is any two training images of different cameras;
    - the published code takes the singular vectors of ``Sigma_I^-1 Sigma_E``, which is not
      symmetric; here the symmetric generalized eigenproblem is solved;
    - where no lambda exceeds 1, the published kernel is negative; here the direction of the
      largest lambda is kept, with weight 1.

    Args:
        regularizer: added to the diagonal of Sigma_I, in squared units of a feature.
        normalize: L2-normalize features first.

    Raises:
        ConfigError: the regularizer is not positive.
    """

    def __init__(self, *, regularizer: float = 1e-3, normalize: bool = False) -> None:
        super().__init__(normalize=normalize)
        if not isinstance(regularizer, (int, float)) or not 0 < regularizer < float("inf"):
            raise ConfigError(f"XQDA's regularizer is a positive number, got {regularizer!r}")
        self.regularizer = float(regularizer)

    @property
    def options(self) -> dict[str, Any]:
        """The regularizer."""
        return {"regularizer": self.regularizer}

    def _factor(self, features: Tensor, pids: Tensor, camids: Tensor) -> Tensor:
        same, different = cross_camera_scatter(features, pids, camids)
        same.diagonal().add_(self.regularizer)
        try:
            ratios, directions = scipy.linalg.eigh(different.numpy(), same.numpy())
        except np.linalg.LinAlgError as error:
            raise DataError(
                f"XQDA finds no directions in the training features ({error}); normalize them, "
                "or raise the regularizer"
            ) from error
        keep = ratios > 1
        weights = 1 - 1 / ratios[keep]
        if not keep.any():
            keep, weights = np.arange(len(ratios)) == len(ratios) - 1, np.ones(1)
        return torch.from_numpy(directions[:, keep] * weights**0.5).flip(1)


def cross_camera_scatter(features: Tensor, pids: Tensor, camids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the covariances of differences within and between identities, across cameras.

    Args:
        features: (N, D) float64.
        pids: (N,) identities.
        camids: (N,) cameras.

    Returns:
        two (D, D): within identities, and between identities.

    Raises:
        DataError: there are no such pairs.
    """
    if len(camids.unique()) < 2:
        raise DataError("XQDA compares cameras, but the training images have only one")
    both, every = together(pids, camids), everything(pids)
    same, pair_count = mean_scatter(features, [pids], [both])
    if not pair_count:
        raise DataError("XQDA needs identities that several cameras saw; the training set has none")
    different, pair_count = mean_scatter(features, [every, both], [camids, pids])
    if not pair_count:
        raise DataError(
            "XQDA needs pairs of different identities seen by different cameras; the training set "
            "has none"
        )
    return same, different
