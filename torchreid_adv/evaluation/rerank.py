"""Re-ranking by k-reciprocal encoding, block by block."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation.labels import Ints
from torchreid_adv.evaluation.neighbors import Neighbors, check_backend, nearest, pair_distances
from torchreid_adv.evaluation.ranking import Block, feature_blocks, plan, spans
from torchreid_adv.models.features import Features

_MARKS = 16_000_000  # bytes of the marks of neighbors of a block's images
_MOST_ROWS = 1024

Mask = NDArray[np.bool_]


def encode(
    features: Tensor, *, k1: int, k2: int, backend: str
) -> tuple[sparse.csr_array, NDArray[Any]]:
    """Return the encodings of N images, and the distance of each to the farthest image.

    Row i of the encodings holds ``exp(-d(i, j))``, divided by the row's sum, for the images j of
    the expanded k-reciprocal set of i, averaged over the k2 nearest images of i, where
    d = (distance / largest distance of i)^2.

    Args:
        features: (N, E) mapped features, queries and gallery together.
        k1: neighbors checked for reciprocity.
        k2: neighbors averaged over, itself included.
        backend: as in :func:`nearest`.

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

    The k-reciprocal set of i holds those of its nearest images that have i among their own. It is
    extended by the smaller set (of ``half`` neighbors) of each member if more than two thirds of
    that smaller set are already in it.

    Args:
        neighbors: (N, K) the nearest images of each, itself included.
        half: number of neighbors for the smaller sets.
    """
    reciprocal = _reciprocal(neighbors)
    small = np.where(_reciprocal(neighbors[:, :half]), neighbors[:, :half], -1)
    sizes = (small >= 0).sum(1)
    pairs = [
        _expand(span, neighbors[span], reciprocal[span], small, sizes)
        for span in _blocks(len(neighbors))
    ]
    rows, columns = zip(*pairs, strict=True)
    return np.concatenate(rows), np.concatenate(columns)


def _reciprocal(neighbors: Ints) -> Mask:
    """Return (N, K) whether an image is among the neighbors of its neighbor."""
    mask = np.empty(neighbors.shape, bool)
    for span in _blocks(len(neighbors)):
        images = np.arange(span.start, span.stop)[:, None, None]
        mask[span] = (neighbors[neighbors[span]] == images).any(2)
    return mask


def _expand(
    span: slice, neighbors: Ints, reciprocal: Mask, small: Ints, sizes: Ints
) -> tuple[Ints, Ints]:
    """Return the pairs of :func:`_members` of some images.

    Args:
        span: the R images.
        neighbors: (R, K) their nearest images.
        reciprocal: (R, K) which of them are reciprocal.
        small: (N, H) smaller sets of all images, filled up with -1.
        sizes: (N,) number of their members.
    """
    count = span.stop - span.start
    rows = np.arange(count)
    marked = np.zeros((count, len(small) + 1), bool)  # the last column is for -1
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
    """Return the means of the encodings over each image's k2 nearest images."""
    if k2 == 1:
        return encodings
    images = near.images[:, :k2]
    total, count = images.shape
    starts = np.arange(0, total * count + 1, count)
    selection = sparse.csr_array(
        (np.ones(total * count, np.float32), images.ravel(), starts), shape=encodings.shape
    )
    means = selection @ encodings
    means.data /= count
    means.sort_indices()
    return means


_OVERLAPS = 100_000  # pairs of entries compared at a time


@dataclass(frozen=True)
class Reranking:
    """k-reciprocal re-ranking (Zhong et al., CVPR 2017) as in torchreid's ``re_ranking``.

    "Re-ranking Person Re-identification with k-reciprocal Encoding",
    https://arxiv.org/abs/1701.08398. An image is encoded by its reciprocal neighbors; the distance
    is the Jaccard distance of two encodings, mixed with the original distance. The results equal
    those of torchreid's code, which departs from the paper:

    - distances are squared once more (torchreid's Euclidean distance is a square already) and
      divided by the largest of each image, before they are weighted and mixed;
    - the weights ``exp(-distance)`` of an image are divided by their sum;
    - an image is its own first neighbor, which k2 counts and k1 does not, and the other queries are
      neighbors, too; the paper searches k1 and k2 neighbors in the gallery;
    - a neighbor's set is added if more than two thirds of it are present, not at two thirds.

    Ties come in the order of queries, then gallery; in torchreid their order depends on an unstable
    sort. With fewer than k1 images, all are neighbors.

    Args:
        k1: neighbors checked for reciprocity, 1 or more.
        k2: neighbors whose encodings are averaged, 1 or more; 1 = only the image's own encoding.
        weight: share of the original distance (the paper's lambda), in [0, 1].
        backend: neighbor search, see :func:`torchreid_adv.evaluation.neighbors.nearest`.

    Raises:
        ConfigError: a number is out of range, or the backend is unknown.

    Example:
        >>> evaluate(query, gallery, rerank=Reranking())
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3
    backend: str = "torch"

    def __post_init__(self) -> None:
        for name in ("k1", "k2"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ConfigError(
                    f"re-ranking's {name} is a whole number of neighbors, 1 or more; got {value!r}"
                )
        if not 0 <= self.weight <= 1:
            raise ConfigError(
                "re-ranking's weight is the share of the original distance, in [0, 1]; "
                f"got {self.weight!r}"
            )
        check_backend(self.backend)

    def blocks(self, query: Features, gallery: Features, distance: Distance | None = None) -> Block:
        """Return the re-ranked distances, in [0, 1], block by block.

        All encodings are computed first; they take some hundred bytes times k2 per image. A block
        costs the product of its features, and the Jaccard distances if its queries are new.

        Args:
            query: features of Q queries.
            gallery: features of G images.
            distance: the original distance; Euclidean when None.

        Raises:
            ConfigError: FAISS is selected and not installed.
            DataError: features differ in length, are too large, or are all equal.
        """
        distance = distance or build_distance("euclidean")
        original = feature_blocks(query, gallery, distance)
        features = _together(query, gallery, distance)
        if bool((features == features[0]).all()):
            raise DataError(
                "re-ranking needs images that differ, and all features are the same; "
                "check the model's weights"
            )
        encodings, farthest = encode(features, k1=self.k1, k2=self.k2, backend=self.backend)
        largest = (distance.scale * farthest[: len(query), None]).astype(np.float32)
        jaccard = _Jaccard(encodings, len(query))

        def block(rows: slice, columns: slice) -> NDArray[Any]:
            mixed = original(rows, columns)
            mixed /= largest[rows]
            mixed *= mixed
            mixed *= self.weight
            mixed += jaccard(rows)[:, columns] * (1 - self.weight)
            return mixed

        return block

    def matrix(
        self, query: Features, gallery: Features, distance: Distance | None = None
    ) -> Tensor:
        """Return the re-ranked distances (Q, G) at once, for pictures of small data sets."""
        block = self.blocks(query, gallery, distance)
        rows, _ = plan(len(query), len(gallery), len(gallery))
        return torch.from_numpy(np.concatenate([block(r, slice(0, len(gallery))) for r in rows]))


class _Jaccard:
    """Jaccard distances of blocks of queries to the whole gallery; the last block is cached.

    Args:
        encodings: (N, N) rows of the queries, then of the gallery.
        queries: number of queries.
    """

    def __init__(self, encodings: sparse.csr_array, queries: int) -> None:
        self.queries: sparse.csr_array = encodings[:queries]
        # for each image, the gallery images that have it in their encoding
        self.inverted = encodings[queries:].tocsc()
        self._rows, self._distances = slice(0, 0), np.empty((0, 0), np.float32)

    def __call__(self, rows: slice) -> NDArray[np.float32]:
        if rows != self._rows:
            self._distances = np.empty((0, 0), np.float32)  # frees its memory for the next block
            shared = self._shared(rows)
            self._distances = np.subtract(1, shared / (2 - shared), out=shared)
            self._rows = rows
        return self._distances

    def _shared(self, rows: slice) -> NDArray[np.float32]:
        """Return the overlap of two encodings, the sum of the smaller entries, (R, G)."""
        shared = np.zeros((rows.stop - rows.start, self.inverted.shape[0]), np.float32)
        starts = self.queries.indptr[rows.start : rows.stop + 1]
        first_cells = np.repeat(np.arange(len(shared)) * shared.shape[1], np.diff(starts))
        for piece in self._pieces(starts[0], starts[-1]):
            entries, images, lesser = self._overlaps(piece)
            cells = first_cells[piece.start - starts[0] :][entries]
            cells += images
            # in order, so that sums do not depend on blocks
            np.add.at(shared.reshape(-1), cells, lesser)
        return shared

    def _pieces(self, first: int, last: int) -> Iterator[slice]:
        """Yield slices of the queries' entries from first to last, each small enough for memory."""
        costs = np.cumsum(np.diff(self.inverted.indptr)[self.queries.indices[first:last]])
        steps = np.arange(0, costs[-1] if len(costs) else 0, _OVERLAPS)
        edges = np.unique([0, *np.searchsorted(costs, steps), len(costs)]) + first
        for start, stop in itertools.pairwise(edges.tolist()):
            yield slice(start, stop)

    def _overlaps(self, piece: slice) -> tuple[Ints, Ints, NDArray[np.float32]]:
        """Return the overlaps of some entries: the entry, gallery image and smaller value."""
        lists, images = self.inverted, self.queries.indices[piece]
        counts = lists.indptr[images + 1] - lists.indptr[images]
        entries = np.repeat(np.arange(len(images)), counts)
        shifts = lists.indptr[images] - (np.cumsum(counts) - counts)
        places = np.arange(len(entries)) + shifts[entries]
        lesser = np.minimum(self.queries.data[piece][entries], lists.data[places])
        return entries, lists.indices[places], lesser


def _together(query: Features, gallery: Features, distance: Distance) -> Tensor:
    """Return the mapped features of both sides, mapped as in :func:`feature_blocks`."""
    dtype = torch.promote_types(query.values.dtype, gallery.values.dtype)
    dtype = torch.promote_types(dtype, torch.float32)
    values = (query.values.to(dtype), gallery.values.to(query.values.device, dtype))
    with torch.no_grad():
        return torch.cat([distance.map(side) for side in values])
