"""Distances between queries and gallery, block by block, and the exact ranks of the positives.

The rank of a positive is the number of gallery images that are not junk and are nearer to the
query; among ties, images that come first in the gallery count as nearer. Counts of blocks add up,
and only the ranks of the positives are needed, so there is no full sort and no matrix of all
distances.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation.labels import Ints, Labels, Matches
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


# rows that a thread processes together: their distances to a gallery block fit into its cache
_SLAB = 16
# bytes of distances of a block of queries that stay in memory until they are counted
_KEPT = 800_000_000

Part = tuple[slice, NDArray[Any]]  # a block of gallery images and the distances to them


def positive_ranks(
    distances: Block,
    labels: Labels,
    rows: list[slice],
    columns: list[slice],
    team: Team = ALONE,
) -> tuple[Ints, Ints]:
    """Return the 0-based ranks of all positives, and where those of each query start.

    Args:
        distances: returns the distances of a block.
        labels: identities and cameras of Q queries and the gallery.
        rows: blocks of queries.
        columns: blocks of gallery images. The positives' distances must be known before counting
            starts: up to 800 MB of blocks wait in memory, and further blocks are requested again.
        team: connected processes that share the blocks of gallery images; all get all ranks.

    Returns:
        (P,) ranks, query after query, and (Q + 1,) their starts.

    Raises:
        DataError: the distance to a positive is not finite.
    """
    ranks, counts = [], []
    assigned = [c for number, c in enumerate(columns) if not team.connected or team.does(number)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for queries in rows:
            matches = labels.matches(queries)
            ranks.append(_ranks(distances, matches, queries, assigned, pool, team))
            counts.append(np.diff(matches.starts))
    starts = np.cumsum(np.concatenate([[0], *counts]))
    return np.concatenate(ranks), starts.astype(np.int64)


def _ranks(
    distances: Block,
    matches: Matches,
    queries: slice,
    columns: list[slice],
    pool: Executor,
    team: Team,
) -> Ints:
    """Return the ranks of the positives of one block of queries.

    A positive is compared with other images by exactly the number in its row: another product of
    the same features may round differently.
    """
    positive_distances = np.zeros(len(matches.rows))
    stored_blocks: list[Part] = []
    later_spans = []
    for span in columns:
        block = distances(queries, span)
        in_span = _inside(matches.columns, span)
        positive_distances[in_span] = block[
            matches.rows[in_span], matches.columns[in_span] - span.start
        ]
        if (
            not stored_blocks
            or sum(part.nbytes for _, part in stored_blocks) + block.nbytes <= _KEPT
        ):
            stored_blocks.append((span, block))
        else:
            later_spans.append(span)
        del block  # frees its memory for the next block
    positive_distances = team.assembled(positive_distances)
    if not np.isfinite(positive_distances).all():
        raise DataError("a distance to a positive is not finite; normalize the features")
    ranks = _count(stored_blocks, positive_distances, matches, pool)
    stored_blocks.clear()
    for span in later_spans:
        ranks += _count([(span, distances(queries, span))], positive_distances, matches, pool)
    return team.total(ranks)


def _count(
    parts: list[Part], positive_distances: NDArray[Any], matches: Matches, pool: Executor
) -> Ints:
    """Return how many images of some gallery blocks come before each positive.

    The blocks are changed: junk becomes infinity, and positives get the numbers in
    ``positive_distances``, whatever a second product of the same block returned.
    """
    nearer, not_farther = (
        np.zeros(len(positive_distances), np.int64),
        np.zeros(len(positive_distances), np.int64),
    )
    if not parts:  # a process may have no block
        return nearer
    positive_distances = positive_distances.astype(parts[0][1].dtype)
    among = np.zeros(len(positive_distances), np.int64)
    for span, block in parts:
        inside = _inside(matches.columns, span)
        block[matches.rows[inside], matches.columns[inside] - span.start] = positive_distances[
            inside
        ]
        junk = _inside(matches.junk_columns, span)
        block[matches.junk_rows[junk], matches.junk_columns[junk] - span.start] = np.inf
        among += inside
    hardest = np.full((matches.count, 1), -np.inf, positive_distances.dtype)
    np.maximum.at(hardest[:, 0], matches.rows, positive_distances)
    starts = matches.starts.tolist()

    def look(rows: slice) -> None:
        near = [_near(block[rows], hardest[rows]) for _, block in parts]
        for row, *pieces in zip(range(rows.start, rows.stop), *near, strict=True):
            positives = slice(starts[row], starts[row + 1])
            if positives.start == positives.stop:
                continue
            values = np.concatenate(pieces)
            values.sort()
            nearer[positives] = values.searchsorted(positive_distances[positives], side="left")
            not_farther[positives] = values.searchsorted(
                positive_distances[positives], side="right"
            )

    for _ in pool.map(look, spans(matches.count, _SLAB)):
        pass
    for tied in np.flatnonzero(not_farther - nearer > among):
        row, column = matches.rows[tied], matches.columns[tied]
        for span, block in parts:
            earlier = block[row, : max(column - span.start, 0)]
            nearer[tied] += np.count_nonzero(earlier == positive_distances[tied])
    return nearer


def _near(block: NDArray[Any], hardest: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the distances of each row that do not exceed that of its hardest positive."""
    # by index: numpy selects many values by a mask several times more slowly
    masks = block <= hardest
    return [row[np.flatnonzero(mask)] for row, mask in zip(block, masks, strict=True)]


def _inside(columns: Ints, span: slice) -> NDArray[np.bool_]:
    return (columns >= span.start) & (columns < span.stop)
