"""Mahalanobis distances: squared Euclidean ones after a linear map."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor

from torchreid_adv.distances.base import Distance
from torchreid_adv.distances.matrices import as_matrix, factored
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import DISTANCES


class LinearDistance(Distance):
    """``|L^T (a - b)|^2``: features are mapped by ``(f - center) @ L``, after normalization.

    The center has no part in a distance; it keeps the mapped features small, and with them the
    rounding of float32.

    Args:
        normalize: L2-normalize features first.
    """

    caches = ("_cast",)
    center: Tensor | None
    factor: Tensor | None

    def __init__(self, *, normalize: bool = False) -> None:
        super().__init__(normalize=normalize)
        self.register_buffer("center", None)
        self.register_buffer("factor", None)
        self._cast: dict[Any, tuple[Tensor, Tensor]] = {}

    def set_map(self, factor: Tensor, center: Tensor | None = None) -> None:
        """Set L (D, E) and the center (D,), zero when None; both are kept as float64."""
        self.factor = factor.detach().double().contiguous()
        self.center = self.factor.new_zeros(len(factor)) if center is None else center.double()
        self._cast = {}

    def map(self, features: Tensor) -> Tensor:
        """Map features (N, D) to (N, E).

        Raises:
            ConfigError: the map is not there yet, or made for features of another length.
        """
        center, factor = self._map_like(features)
        if features.shape[1] != len(factor):
            raise ConfigError(
                f"the distance '{self.name}' was made for features of {len(factor)} numbers, these "
                f"have {features.shape[1]}; use the one that belongs to this model"
            )
        return (super().map(features) - center) @ factor

    def facts(self) -> dict[str, Any]:
        """Return what decides the distance; the hash of its map, once there is one."""
        facts = super().facts()
        return facts if self.factor is None else {**facts, "sha256": self.digest()}

    def digest(self) -> str:
        """Return the SHA-256 of L, wherever it came from."""
        assert self.factor is not None
        return hashlib.sha256(self.factor.cpu().numpy().tobytes()).hexdigest()

    def _map_like(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return center and L on the device and in the format of some features."""
        if self.factor is None or self.center is None:
            raise ConfigError(
                f"the distance '{self.name}' has not been fitted; call its fit(features, pids, "
                "camids) with training features first"
            )
        key = (features.device, features.dtype)
        if key not in self._cast:
            self._cast[key] = (self.center.to(features), self.factor.to(features))
        return self._cast[key]


@DISTANCES.register("mahalanobis")
class Mahalanobis(LinearDistance):
    """``(a - b)^T M (a - b)`` with a given matrix.

    A ``.safetensors`` file may hold one tensor of any name, or several of which one is called
    ``matrix`` or ``factor``, so that the file of a fitted distance can be given as ``factor``.

    Args:
        matrix: M (D, D), symmetric and positive semi-definite; a tensor, or a ``.npy`` or
            ``.safetensors`` file. "" when the factor is given.
        factor: L (D, E) with ``M = L L^T`` instead, in the same forms.
        normalize: L2-normalize features first.

    Raises:
        ConfigError: not one of the two, or a matrix that cannot be used.

    Example:
        >>> distance = Mahalanobis(matrix=torch.eye(512))
    """

    def __init__(
        self,
        *,
        matrix: Tensor | str | Path = "",
        factor: Tensor | str | Path = "",
        normalize: bool = False,
    ) -> None:
        super().__init__(normalize=normalize)
        given = [isinstance(value, Tensor) or bool(str(value)) for value in (matrix, factor)]
        if sum(given) != 1:
            raise ConfigError(
                "the distance 'mahalanobis' takes a matrix (D, D) or its factor (D, E): set "
                "adv.distances.mahalanobis.matrix or .factor to a .npy or .safetensors file"
            )
        self.set_map(factored(matrix) if given[0] else as_matrix(factor, "factor"))
