"""Matrices of distances: read from files, checked, and factored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from torchreid_adv.errors import ConfigError

_SYMMETRIC = 1e-5  # of the largest entry: float32 files are symmetric to that
_NEGATIVE = 1e-6  # of the largest eigenvalue: what rounding can make of zero
_ZERO = 1e-14


def as_matrix(source: Tensor | str | Path, kind: str) -> Tensor:
    """Return a real, finite matrix as float64.

    Args:
        source: the matrix, or a ``.npy`` or ``.safetensors`` file.
        kind: ``matrix`` or ``factor``, for the file and for messages.

    Raises:
        ConfigError: it cannot be read, or is no such matrix.
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
        ConfigError: it cannot be read, or is no such matrix.
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
    """Return L (D, E) with ``L L^T`` the matrix, its eigenvalues that are not positive left out.

    E is 0 where none is positive.
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
            (found,) = tensors.values() if kind not in tensors else [tensors[kind]]
            return found
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise ConfigError(f"the {kind} of a distance cannot be read from '{path}': {reason}") from (
            error
        )
    raise ConfigError(f"the {kind} of a distance is a .npy or .safetensors file, got '{path}'")
