"""k-reciprocal encodings: each image as a sparse vector over the images it resembles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from torchreid_adv.evaluation.blocks import spans
from torchreid_adv.evaluation.matches import Ints
from torchreid_adv.evaluation.neighbors import Neighbors, nearest, pair_distances

_MARKS = 16_000_000  # bytes that mark which images are neighbors of a block's images
_MOST_ROWS = 1024

Mask = NDArray[np.bool_]


def encode(
    features: Tensor, *, k1: int, k2: int, backend: str
) -> tuple[sparse.csr_array, NDArray[Any]]:
    """Return the encodings of N images, and how far the farthest image is from each.

    Row i of the encodings holds ``exp(-d(i, j))``, divided by the row's sum, for the images j of
    i's expanded k-reciprocal set, and is then averaged over the k2 nearest images of i, where
    d = (distance / largest distance of i)^2.

    Args:
        features: (N, E) mapped features, queries and gallery together.
        k1: neighbors looked at for reciprocity.
        k2: neighbors averaged over, itself included.
        backend: of :func:`nearest`.

    Returns:
        (N, N) sparse float32, columns in order, and (N,) squared Euclidean distances.
    """
    near = nearest(features, features, max(k1 + 1, k2), backend=backend, farthest=True)
    assert near.farthest is not None
    rows, columns = _members(near.images[:, : k1 + 1], int(np.around(k1 / 2)) + 1)
    measured = _pairs(features, rows, columns) / near.farthest[rows]
    weights = np.exp(-(measured**2)).astype(np.float32)
    sums = np.bincount(rows, weights, minlength=len(features)).astype(np.float32)
    starts = np.searchsorted(rows, np.arange(len(features) + 1))
    shape = (len(features), len(features))
    encodings = sparse.csr_array((weights / sums[rows], columns, starts), shape=shape)
    return _averaged(encodings, near, k2), near.farthest


def _members(neighbors: Ints, half: int) -> tuple[Ints, Ints]:
    """Return the pairs (image, member of its expanded k-reciprocal set), in order.

    The k-reciprocal set of i holds those of its nearest images that have i among theirs. It takes
    in the smaller set (of ``half`` neighbors) of each of its members of which more than two thirds
    are in it.

    Args:
        neighbors: (N, K) the nearest images of each, itself included.
        half: neighbors that the smaller sets are taken from.
    """
    reciprocal = _reciprocal(neighbors)
    small = np.where(_reciprocal(neighbors[:, :half]), neighbors[:, :half], -1)
    sizes = (small >= 0).sum(1)
    found = [
        _expand(span, neighbors[span], reciprocal[span], small, sizes)
        for span in _blocks(len(neighbors))
    ]
    rows, columns = zip(*found, strict=True)
    return np.concatenate(rows), np.concatenate(columns)


def _reciprocal(neighbors: Ints) -> Mask:
    """Return (N, K) whether an image is among the neighbors of its neighbor."""
    mask = np.empty(neighbors.shape, bool)
    for span in _blocks(len(neighbors)):
        own = np.arange(span.start, span.stop)[:, None, None]
        mask[span] = (neighbors[neighbors[span]] == own).any(2)
    return mask


def _expand(
    span: slice, neighbors: Ints, reciprocal: Mask, small: Ints, sizes: Ints
) -> tuple[Ints, Ints]:
    """Return the pairs of :func:`_members` of some images.

    Args:
        span: the R images.
        neighbors: (R, K) theirs.
        reciprocal: (R, K) which of them are reciprocal.
        small: (N, H) smaller sets of all images, -1 where there is no member.
        sizes: (N,) how many members these have.
    """
    count = span.stop - span.start
    rows = np.arange(count)
    marked = np.zeros((count, len(small) + 1), bool)  # the last column is that of -1
    marked[np.repeat(rows, reciprocal.sum(1)), neighbors[reciprocal]] = True
    candidates = small[neighbors]
    shared = marked[rows[:, None, None], candidates].sum(2)
    taken = reciprocal & (3 * shared > 2 * sizes[neighbors])
    members = np.concatenate(
        [
            np.where(reciprocal, neighbors, -1),
            np.where(taken[:, :, None], candidates, -1).reshape(count, -1),
        ],
        axis=1,
    )
    members.sort(axis=1)
    new = members >= 0
    new[:, 1:] &= members[:, 1:] != members[:, :-1]
    owners, places = np.nonzero(new)
    return owners + span.start, members[owners, places]


def _blocks(total: int) -> Iterator[slice]:
    yield from spans(total, min(max(_MARKS // total, 1), _MOST_ROWS))


def _pairs(features: Tensor, rows: Ints, columns: Ints) -> NDArray[Any]:
    i, j = (torch.from_numpy(side).to(features.device) for side in (rows, columns))
    return pair_distances(features, features, i, j).cpu().numpy()


def _averaged(encodings: sparse.csr_array, near: Neighbors, k2: int) -> sparse.csr_array:
    """Return the means of the encodings of each image's k2 nearest images."""
    if k2 == 1:
        return encodings
    images = near.images[:, :k2]
    total, count = images.shape
    starts = np.arange(0, total * count + 1, count)
    chosen = sparse.csr_array(
        (np.ones(total * count, np.float32), images.ravel(), starts), shape=encodings.shape
    )
    means = chosen @ encodings
    means.data /= count
    means.sort_indices()
    return means
