"""Distances between queries and gallery, block by block to bound memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models.features import Features

# (queries, gallery images) -> their distances, a new array that the caller may change
Block = Callable[[slice, slice], NDArray[Any]]

GALLERY_BLOCK = 32768
# distances in a block. glibc's allocator reuses up to 32 MB for the next block; larger blocks are
# returned to the system, and page faults then cost as much time as the matrix product itself
_DISTANCES = 8_000_000
_FEWEST_ROWS, _MOST_ROWS = 64, 512
_PIECE = 4096  # features squared at a time


def spans(total: int, size: int) -> list[slice]:
    """Split a range into the fewest slices of at most ``size``, as equal as possible."""
    edges = np.linspace(0, total, -(-total // size) + 1).astype(int)
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def plan(queries: int, gallery: int, block: int) -> tuple[list[slice], list[slice]]:
    """Return the slices of queries and of gallery images that form the blocks.

    Args:
        queries: number of queries.
        gallery: number of gallery images.
        block: largest number of gallery images in a block.

    Raises:
        ConfigError: ``block`` is below 1.
    """
    if block < 1:
        raise ConfigError(f"block is a number of gallery images, 1 or more; got {block}")
    columns = spans(gallery, block)
    widest = -(-gallery // len(columns))
    rows = min(max(_DISTANCES // widest, _FEWEST_ROWS), _MOST_ROWS)
    return spans(queries, rows), columns


def feature_blocks(query: Features, gallery: Features, distance: Distance) -> Block:
    """Return the blocks of distances between two sets of features, computed on demand.

    Raises:
        DataError: the features of the two sides differ in length, or their squares overflow.
    """
    if query.values.shape[1] != gallery.values.shape[1]:
        raise DataError(
            f"query features have {query.values.shape[1]} numbers and gallery features "
            f"{gallery.values.shape[1]}; extract both with the same model"
        )
    device = query.values.device
    dtype = torch.promote_types(query.values.dtype, gallery.values.dtype)
    dtype = torch.promote_types(dtype, torch.float32)
    with torch.no_grad():
        mapped_query = distance.map(query.values.to(dtype))
        mapped_gallery = distance.map(gallery.values.to(device, dtype))
        squares = _squares(mapped_gallery)
        if not (torch.isfinite(squares).all() and torch.isfinite(_squares(mapped_query)).all()):
            raise DataError(
                f"the squares of the features are not finite; they are too large for {dtype}: "
                "normalize the features, or pass them as float64"
            )

    @torch.no_grad()
    def block(rows: slice, columns: slice) -> NDArray[Any]:
        between = distance.between(
            mapped_query[rows], mapped_gallery[columns], squares=squares[columns]
        )
        return between.cpu().numpy()

    return block


def matrix_blocks(distances: Tensor | NDArray[Any]) -> Block:
    """Return the blocks of a matrix of distances (Q, G); the matrix is not changed.

    Raises:
        DataError: it is not a matrix of finite numbers.
    """
    if isinstance(distances, Tensor):
        distances = distances.detach().cpu()
        if distances.dtype == torch.bfloat16:  # not available in numpy
            distances = distances.float()
    matrix = np.asarray(distances)
    if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.number):
        raise DataError(f"distances are a (Q, G) matrix of numbers, got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise DataError("the matrix of distances holds NaN or infinity")
    dtype = np.promote_types(matrix.dtype, np.float32)

    def block(rows: slice, columns: slice) -> NDArray[Any]:
        return np.array(matrix[rows, columns], dtype=dtype, order="C")

    return block


def _squares(features: Tensor) -> Tensor:
    return torch.cat([piece.pow(2).sum(1) for piece in features.split(_PIECE)])
