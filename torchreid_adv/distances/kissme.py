"""KISSME: keep it simple and straightforward metric learning."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torchreid_adv.distances.fitted import FittedDistance, everything, mean_scatter
from torchreid_adv.distances.mahalanobis import psd_factor
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.registry import DISTANCES

_RANK = 1e-10  # share of the largest variance below which a variance counts as zero


@DISTANCES.register(
    "kissme",
    paper="Koestinger et al., Large Scale Metric Learning from Equivalence Constraints, 2012",
    title="likelihood ratio of same and different pairs, fitted on the training split",
)
class KISSME(FittedDistance):
    """``M = S^-1 - D^-1`` after PCA (Koestinger et al., 2012).

    S and D are the covariances of the differences of all training pairs of the same and of
    different identities. M has negative eigenvalues in general; they are set to zero.

    Args:
        dimension: largest number of principal components. Fewer are kept if the training features,
            or the differences within identities, span fewer: S would have no inverse.
        normalize: L2-normalize features first.

    Raises:
        ConfigError: the dimension is below 1.
    """

    def __init__(self, *, dimension: int = 64, normalize: bool = False) -> None:
        super().__init__(normalize=normalize)
        if type(dimension) is not int or dimension < 1:
            raise ConfigError(
                f"KISSME's dimension is a number of principal components, 1 or more; got "
                f"{dimension!r}"
            )
        self.dimension = dimension

    @property
    def options(self) -> dict[str, Any]:
        """The number of principal components."""
        return {"dimension": self.dimension}

    def _factor(self, features: Tensor, pids: Tensor, camids: Tensor) -> Tensor:
        same, different = pair_scatter(features, pids)
        variances, vectors = torch.linalg.eigh(features.T @ features / len(features))
        zero = _RANK * float(variances[-1])
        spanned = (int((torch.linalg.eigvalsh(m) > zero).sum()) for m in (same, different))
        component_count = min(self.dimension, int((variances > zero).sum()), *spanned)
        components = vectors[:, len(variances) - component_count :]
        same, different = (components.T @ part @ components for part in (same, different))
        if not component_count or any(
            torch.linalg.eigvalsh(m)[0] <= zero for m in (same, different)
        ):
            raise DataError(
                f"KISSME cannot invert the covariances of differences in {component_count} "
                "dimensions; set a smaller dimension, or use a training set whose images "
                "of an identity differ more"
            )
        factor = psd_factor(torch.linalg.inv(same) - torch.linalg.inv(different))
        if not factor.shape[1]:
            raise DataError(
                "KISSME finds no direction in which training images of one identity are more alike "
                "than those of different ones"
            )
        return components @ factor


def pair_scatter(features: Tensor, pids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the covariances of differences within and between identities, over all pairs.

    Args:
        features: (N, D) float64.
        pids: (N,) identities.

    Returns:
        two (D, D): within identities, and between identities.

    Raises:
        DataError: there are no such pairs.
    """
    same, pair_count = mean_scatter(features, [pids])
    if not pair_count:
        raise DataError("KISSME needs identities with several images; the training set has none")
    different, pair_count = mean_scatter(features, [everything(pids)], [pids])
    if not pair_count:
        raise DataError("KISSME compares identities, but the training images have only one")
    return same, different
