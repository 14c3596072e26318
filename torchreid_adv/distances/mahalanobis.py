"""Mahalanobis distances: squared Euclidean distances after a linear map."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from torchreid_adv.distances.base import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import DISTANCES


class LinearDistance(Distance):
    """``|L^T (a - b)|^2``: features are mapped by ``(f - center) @ L``, after normalization.

    The center cancels in a distance; it keeps the mapped features, and so float32 rounding errors,
    small.

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
        """Set L (D, E) and the center (D,), zero when None; both are stored as float64."""
        self.factor = factor.detach().double().contiguous()
        self.center = self.factor.new_zeros(len(factor)) if center is None else center.double()
        self._cast = {}

    def map(self, features: Tensor) -> Tensor:
        """Map features (N, D) to (N, E).

        Raises:
            ConfigError: there is no map yet, or it is for features of another length.
        """
        center, factor = self._map_like(features)
        if features.shape[1] != len(factor):
            raise ConfigError(
                f"the distance '{self.name}' was made for features of {len(factor)} numbers, these "
                f"have {features.shape[1]}; use the one that belongs to this model"
            )
        return (super().map(features) - center) @ factor

    def facts(self) -> dict[str, Any]:
        """Return what decides the distance, with the hash of its map once it has one."""
        facts = super().facts()
        return facts if self.factor is None else {**facts, "sha256": self.digest()}

    def digest(self) -> str:
        """Return the SHA-256 of L."""
        assert self.factor is not None
        return hashlib.sha256(self.factor.cpu().numpy().tobytes()).hexdigest()

    def _map_like(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return center and L on the device and with the dtype of the features."""
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

    A ``.safetensors`` file may hold one tensor of any name, or several if one is called ``matrix``
    or ``factor``. So the file of a fitted distance can be given as ``factor``.

    Args:
        matrix: M (D, D), symmetric and positive semi-definite; a tensor, or a ``.npy`` or
            ``.safetensors`` file. "" when the factor is given.
        factor: L (D, E) with ``M = L L^T`` instead of M, in the same forms.
        normalize: L2-normalize features first.

    Raises:
        ConfigError: not exactly one of the two is given, or the matrix is invalid.

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
        is_given = [isinstance(value, Tensor) or bool(str(value)) for value in (matrix, factor)]
        if sum(is_given) != 1:
            raise ConfigError(
                "the distance 'mahalanobis' takes a matrix (D, D) or its factor (D, E): set "
                "adv.distances.mahalanobis.matrix or .factor to a .npy or .safetensors file"
            )
        self.set_map(factored(matrix) if is_given[0] else as_matrix(factor, "factor"))


_SYMMETRIC = 1e-5  # of the largest entry: tolerance of float32 files
_NEGATIVE = 1e-6  # of the largest eigenvalue: tolerance of rounded zeros
_ZERO = 1e-14


def as_matrix(source: Tensor | str | Path, kind: str) -> Tensor:
    """Return a real, finite matrix as float64.

    Args:
        source: the matrix, or a ``.npy`` or ``.safetensors`` file.
        kind: ``matrix`` or ``factor``, for the file and for messages.

    Raises:
        ConfigError: it cannot be read or is not such a matrix.
    """
    where = "that was given" if isinstance(source, Tensor) else f"in '{source}'"
    matrix = source if isinstance(source, Tensor) else _read(Path(str(source)).expanduser(), kind)
    if matrix.ndim != 2 or not matrix.numel() or matrix.is_complex():
        raise ConfigError(
            f"the {kind} {where} is a table of real numbers, got shape {tuple(matrix.shape)} "
            f"of {str(matrix.dtype).removeprefix('torch.')}"
        )
    matrix = matrix.detach().double()
    if not torch.isfinite(matrix).all():
        raise ConfigError(f"the {kind} {where} holds NaN or infinity")
    if not matrix.any():
        raise ConfigError(f"the {kind} {where} is zero: all distances would be")
    return matrix


def factored(source: Tensor | str | Path) -> Tensor:
    """Return L (D, E) with ``L L^T`` a symmetric, positive semi-definite matrix (D, D).

    Raises:
        ConfigError: it cannot be read or is not such a matrix.
    """
    matrix = as_matrix(source, "matrix")
    if len(matrix) != matrix.shape[1]:
        raise ConfigError(
            f"a Mahalanobis matrix is square, got {tuple(matrix.shape)}; "
            "for its factor (D, E) use the option 'factor'"
        )
    difference = float((matrix - matrix.T).abs().max())
    if difference > _SYMMETRIC * float(matrix.abs().max()):
        raise ConfigError(
            f"a Mahalanobis matrix is symmetric; this one and its transpose differ by "
            f"{difference:.3g}: pass (M + M^T) / 2"
        )
    values = torch.linalg.eigvalsh((matrix + matrix.T) / 2)
    if values[0] < -_NEGATIVE * values.abs().max():
        raise ConfigError(
            f"a Mahalanobis matrix is positive semi-definite, the smallest eigenvalue of this one "
            f"is {float(values[0]):.3g}; set its negative eigenvalues to zero"
        )
    return psd_factor(matrix)


def psd_factor(matrix: Tensor) -> Tensor:
    """Return L (D, E) with ``L L^T`` the matrix, without its non-positive eigenvalues.

    E is 0 if no eigenvalue is positive.
    """
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    keep = values > _ZERO * values.abs().max()
    return (vectors[:, keep] * values[keep].sqrt()).flip(1)


def _read(path: Path, kind: str) -> Tensor:
    try:
        if path.suffix == ".npy":
            return torch.from_numpy(np.array(np.load(path, mmap_mode="r", allow_pickle=False)))
        if path.suffix == ".safetensors":
            tensors = load_file(path)
            (tensor,) = tensors.values() if kind not in tensors else [tensors[kind]]
            return tensor
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise ConfigError(f"the {kind} of a distance cannot be read from '{path}': {reason}") from (
            error
        )
    raise ConfigError(f"the {kind} of a distance is a .npy or .safetensors file, got '{path}'")
