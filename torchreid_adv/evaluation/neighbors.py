"""The nearest images of each image, exact, by blocks of a matrix product or by FAISS.

Both only propose candidates: their distances carry the rounding of a product, which depends on the
library and on the shape of a block. What is proposed, with all that rounding could have kept out,
is measured again as the sum of squared differences and ordered by (distance, place in the gallery).
That makes the result the same whoever proposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchreid_adv.errors import ConfigError, DataError, suggest
from torchreid_adv.evaluation.blocks import spans
from torchreid_adv.evaluation.ranking import Ints

BACKENDS = ("torch", "faiss")

_PRODUCTS = 16_000_000  # numbers of one block of products
_MOST_ROWS = 512
_GROUP = 64  # images whose least distance is looked at first
_PADDING = 12  # candidates that FAISS proposes beyond the k
_PIECE = 4096  # features converted at a time
# numbers of a piece of differences: they stay in a CPU core's cache
_DIFFERENCES = {"cpu": 1 << 18, "cuda": 1 << 26}
# relative error of one float32 product, by what torch is allowed to do to it
_UNITS = {"highest": 2.0**-24, "high": 2.0**-11, "medium": 2.0**-8}


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The k nearest gallery images of each of R queries.

    Args:
        images: (R, k) int64 rows of the gallery, nearest first; the equally near in its order.
        distances: (R, k) their squared Euclidean distances.
        farthest: (R,) squared distance of the farthest gallery image, to the rounding of a matrix
            product; None where it was not asked for.
    """

    images: Ints
    distances: NDArray[Any]
    farthest: NDArray[Any] | None = None


@torch.no_grad()
def nearest(
    query: Tensor, gallery: Tensor, k: int, *, backend: str = "torch", farthest: bool = False
) -> Neighbors:
    """Return the k nearest gallery images of each query, all of them where there are fewer.

    The default is "torch" because it was the faster one on two CPU cores: 1.4 s against 1.9 s for
    9,640 x 9,640 features of 512 numbers, and it finds the farthest image on the way. FAISS pays in
    large galleries: 5.5 s against 10.5 s for 1,000 x 1,000,000 of 128 numbers on one core.

    Args:
        query: (R, E) features, mapped by a :class:`Distance`; on the device that computes.
        gallery: (N, E) features, mapped likewise.
        k: length of a list.
        backend: who proposes candidates: "torch", or "faiss" (a flat index, on all GPUs where
            FAISS knows of any). The result is the same.
        farthest: say the largest distance of each query, too. It costs "faiss" a second search.

    Raises:
        ConfigError: k below 1, an unknown backend, or FAISS is not installed.
        DataError: features of different lengths, or whose squares are not finite.
    """
    if k < 1:
        raise ConfigError(f"k is a number of neighbors, 1 or more; got {k}")
    check_backend(backend)
    matrices = query.ndim == gallery.ndim == 2 and query.numel() and gallery.numel()
    if not matrices or query.shape[1] != gallery.shape[1]:
        raise DataError(
            "query and gallery are (R, E) and (N, E) features of one model, got "
            f"{tuple(query.shape)} and {tuple(gallery.shape)}"
        )
    dtype = torch.promote_types(torch.promote_types(query.dtype, gallery.dtype), torch.float32)
    sides = query.to(dtype), gallery.to(query.device, dtype)
    search = _Search(*sides, min(k, len(gallery)))
    return search.by_faiss(farthest) if backend == "faiss" else search.by_blocks(farthest)


def check_backend(name: str) -> None:
    """Refuse a neighbor search that there is not.

    Raises:
        ConfigError: unknown name, with the nearest known one.
    """
    if name not in BACKENDS:
        raise ConfigError(f"unknown neighbor search '{name}'{suggest(name, BACKENDS)}")


def pair_distances(a: Tensor, b: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the squared distances (P,) of pairs: of row ``rows[p]`` of a, ``columns[p]`` of b."""
    size = max(1, _DIFFERENCES.get(a.device.type, 1 << 18) // a.shape[1])
    pieces = zip(rows.split(size), columns.split(size), strict=True)
    return torch.cat(
        [(a.index_select(0, i) - b.index_select(0, j)).pow_(2).sum(1) for i, j in pieces]
    )


class _Search:
    """A search of ``k`` images among ``gallery``.

    Features are moved so that the gallery's mean is the origin: distances stay, norms shrink, and
    with them the rounding of a product.
    """

    def __init__(self, query: Tensor, gallery: Tensor, k: int) -> None:
        self.query, self.gallery, self.k = query, gallery, k
        self.center = gallery.mean(0, dtype=torch.float64)
        squares = [torch.linalg.vector_norm(x, dim=1).max() for x in (query, gallery)]
        if not torch.isfinite(torch.stack(squares).pow(2)).all():
            raise DataError(
                "the squares of the features are not finite; normalize the features, or pass them "
                "as float64 where they are only large"
            )

    def _centered(self, values: Tensor) -> Tensor:
        pieces = values.split(_PIECE)
        return torch.cat([(piece.double() - self.center).to(values.dtype) for piece in pieces])

    def _slack(self, norms: Tensor, largest: Tensor, unit: float) -> Tensor:
        """Return how far apart (R,) equal distances can come out of two products, at the most."""
        length = self.query.shape[1] + 8
        return 4 * length * unit * (norms + largest).pow(2)

    def by_blocks(self, farthest: bool) -> Neighbors:
        """Search by products of blocks of queries with the whole gallery."""
        total, k = len(self.gallery), self.k
        width = max(1, min(_GROUP, total // (4 * k)))
        groups = -(-total // width)
        product, largest = self._padded_gallery(width * groups)
        unit = _UNITS.get(torch.get_float32_matmul_precision(), 2.0**-8)
        unit = 2.0**-53 if product.dtype == torch.float64 else unit
        rows = spans(len(self.query), min(max(_PRODUCTS // total, 1), _MOST_ROWS))
        held = product.new_empty(max(r.stop - r.start for r in rows), width * groups)
        images = np.empty((len(self.query), k), np.int64)
        distances = np.empty((len(self.query), k), self._numpy_dtype())
        farthest_of = np.empty(len(self.query), distances.dtype)
        for span in rows:
            part = self._centered(self.query[span])
            norms = torch.linalg.vector_norm(part, dim=1)
            sums = torch.mm(_with_ones(part), product.t(), out=held[: len(part)])
            if farthest:
                most = sums[:, :total].amax(1) + norms.pow(2)
                farthest_of[span] = most.clamp_min_(0).cpu().numpy()
            candidates = _candidates(
                sums.view(len(part), width, groups), k, self._slack(norms, largest, unit)
            )
            images[span], distances[span] = self._choose(span, *candidates)
        return Neighbors(images, distances, farthest_of if farthest else None)

    def _padded_gallery(self, length: int) -> tuple[Tensor, Tensor]:
        """Return (length, E + 1) features with their squares at the end, and the largest norm.

        Images that are not there are infinitely far.
        """
        centered = self._centered(self.gallery)
        norms = torch.linalg.vector_norm(centered, dim=1)
        padded = centered.new_zeros(length, centered.shape[1] + 1)
        padded[: len(centered), :-1] = centered
        padded[:, -1] = torch.inf
        padded[: len(centered), -1] = norms.pow(2)
        return padded, norms.max()

    def _numpy_dtype(self) -> np.dtype[Any]:
        return self.query.new_empty(0).cpu().numpy().dtype

    def _choose(self, span: slice, rows: Tensor, columns: Tensor) -> tuple[Ints, NDArray[Any]]:
        """Measure the candidates of some queries and return the k nearest of each."""
        measured = pair_distances(self.query[span], self.gallery, rows, columns).cpu().numpy()
        owners, images = rows.cpu().numpy(), columns.cpu().numpy()
        order = np.lexsort((images, measured, owners))
        starts = np.searchsorted(owners[order], np.arange(span.stop - span.start))
        chosen = order[starts[:, None] + np.arange(self.k)]
        return images[chosen], measured[chosen]

    def by_faiss(self, farthest: bool) -> Neighbors:
        """Search by a flat index; rows where its rounding may matter are searched by blocks."""
        index = _flat_index(self._centered(self.gallery))
        wanted = min(self.k + _PADDING, len(self.gallery))
        norms = torch.linalg.vector_norm(self._centered(self.query), dim=1)
        largest = torch.linalg.vector_norm(self._centered(self.gallery), dim=1).max()
        slack = self._slack(norms, largest, 2.0**-24).cpu().numpy()
        images = np.empty((len(self.query), self.k), np.int64)
        distances = np.empty((len(self.query), self.k), self._numpy_dtype())
        doubtful = np.zeros(len(self.query), bool)
        for span in spans(len(self.query), _PIECE):
            part = self._centered(self.query[span]).float().cpu().numpy()
            reported, found = index.search(np.ascontiguousarray(part), wanted)
            columns = torch.from_numpy(found).to(self.query.device)
            rows = torch.arange(len(part), device=columns.device).repeat_interleave(wanted)
            images[span], distances[span] = self._choose(span, rows, columns.flatten())
            if wanted < len(self.gallery):
                doubtful[span] = distances[span, -1] + slack[span] >= reported[:, -1]
        if doubtful.any():
            again = self._rows(doubtful).by_blocks(False)
            images[doubtful], distances[doubtful] = again.images, again.distances
        return Neighbors(images, distances, self._farthest() if farthest else None)

    def _rows(self, chosen: NDArray[np.bool_]) -> _Search:
        mask = torch.from_numpy(chosen).to(self.query.device)
        return _Search(self.query[mask], self.gallery, self.k)

    def _farthest(self) -> NDArray[Any]:
        found = _Search(self.query, self.gallery, 1).by_blocks(True).farthest
        assert found is not None
        return found


def _with_ones(part: Tensor) -> Tensor:
    """Return [-2 a, 1], whose product with [b, |b|^2] is |b|^2 - 2 ab."""
    return torch.cat([part.mul(-2), part.new_ones(len(part), 1)], dim=1)


def _candidates(sums: Tensor, k: int, slack: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pairs of rows and columns that may be among the k least of a row.

    The k-th of the least numbers of some groups is no less than the k-th of all: so few groups
    need to be looked into.

    Args:
        sums: (R, W, M) numbers of M groups of W images; image ``w * M + m`` is in group m.
        k: of M or fewer.
        slack: (R,) by how much two numbers may be wrong together.
    """
    minima = sums.amin(1)
    bound = minima.kthvalue(k, dim=1).values + slack
    row, group = torch.nonzero(minima <= bound[:, None], as_tuple=True)
    near = sums[row, :, group] <= bound[row, None]
    pair, place = torch.nonzero(near, as_tuple=True)
    return row[pair], place * sums.shape[2] + group[pair]


def _flat_index(gallery: Tensor) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ConfigError(
            "FAISS is not installed; pip install 'torchreid_adv[cpu]', or search by 'torch'"
        ) from error
    index: Any = faiss.IndexFlatL2(gallery.shape[1])
    if getattr(faiss, "get_num_gpus", lambda: 0)():
        index = faiss.index_cpu_to_all_gpus(index)
    index.add(np.ascontiguousarray(gallery.float().cpu().numpy()))
    return index
