"""Ranks of the positives, exact: integers counted block by block.

The rank of a positive is the number of gallery images that are not junk and are nearer to the
query; among equally near ones those that come first in the gallery count as nearer. Counts of
blocks add up, and only the ranks of the positives are needed, so that no full order is made and no
matrix of all distances is held.
"""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torchreid_adv.errors import DataError
from torchreid_adv.evaluation.blocks import Block, spans
from torchreid_adv.evaluation.matches import Ints, Labels, Matches
from torchreid_adv.jobs.team import ALONE, Team

# rows that a thread looks at together: their distances stay in its cache
_SLAB = 16
# a row is sorted whole unless less than 1 / _DENSE of it is as near as the hardest positive:
# numpy picks few values by a mask quickly, but many of them more slowly than it sorts them all
_DENSE = 12


def positive_ranks(
    distances: Block,
    labels: Labels,
    rows: list[slice],
    columns: list[slice],
    team: Team = ALONE,
) -> tuple[Ints, Ints]:
    """Return the 0-based ranks of all positives and where those of each query start.

    Args:
        distances: gives the distances of a block.
        labels: identities and cameras of Q queries and the gallery.
        rows: blocks of queries.
        columns: blocks of gallery images. With more than one, each is asked for twice (but for the
            last): the positives' distances must be known before anything is counted.
        team: connected processes share the blocks of gallery images; all get all ranks.

    Returns:
        (P,) ranks, query after query, and (Q + 1,) their starts.

    Raises:
        DataError: the distance to a positive is not finite.
    """
    ranks, counts = [], []
    mine = [c for number, c in enumerate(columns) if not team.connected or team.does(number)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for queries in rows:
            matches = labels.matches(queries)
            ranks.append(_ranks(distances, matches, queries, mine, pool, team))
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

    A positive is compared with the other images by the very number that stands for it in its row:
    another product of the same features may be rounded in another way.
    """
    own = np.zeros(len(matches.rows))
    block = None
    for span in columns:
        block = None  # gives its memory to the next one
        block = distances(queries, span)
        here = _inside(matches.columns, span)
        own[here] = block[matches.rows[here], matches.columns[here] - span.start]
    own = team.assembled(own)
    if not np.isfinite(own).all():
        raise DataError("a distance to a positive is not finite; normalize the features")
    ranks = np.zeros(len(own), np.int64)
    for span in reversed(columns):
        if block is None:
            block = distances(queries, span)
        ranks += _count(block, own.astype(block.dtype), matches, span, pool)
        block = None
    return team.total(ranks)


def _count(
    block: NDArray[Any], own: NDArray[Any], matches: Matches, span: slice, pool: Executor
) -> Ints:
    """Return how many images of a gallery block come before each positive.

    The block is changed: junk goes to infinity, and positives take the numbers in ``own``, which
    stand whatever a second product of the same block came to.
    """
    inside = _inside(matches.columns, span)
    block[matches.rows[inside], matches.columns[inside] - span.start] = own[inside]
    junk = _inside(matches.junk_columns, span)
    block[matches.junk_rows[junk], matches.junk_columns[junk] - span.start] = np.inf
    hardest = np.full((len(block), 1), -np.inf, block.dtype)
    np.maximum.at(hardest[:, 0], matches.rows, own)
    starts = matches.starts.tolist()
    nearer, not_farther = np.zeros(len(own), np.int64), np.zeros(len(own), np.int64)

    def look(rows: slice) -> None:
        near = block[rows] <= hardest[rows]
        for row, mask in zip(range(rows.start, rows.stop), near, strict=True):
            first, last = starts[row], starts[row + 1]
            if first == last:
                continue
            few = np.count_nonzero(mask) * _DENSE < len(mask)
            values = block[row][mask] if few else block[row].copy()
            values.sort()
            nearer[first:last] = values.searchsorted(own[first:last], side="left")
            not_farther[first:last] = values.searchsorted(own[first:last], side="right")

    for _ in pool.map(look, spans(len(block), _SLAB)):
        pass
    places = matches.columns - span.start
    for tied in np.flatnonzero(not_farther - nearer > inside):
        earlier = block[matches.rows[tied], : max(places[tied], 0)]
        nearer[tied] += np.count_nonzero(earlier == own[tied])
    return nearer


def _inside(columns: Ints, span: slice) -> NDArray[np.bool_]:
    return (columns >= span.start) & (columns < span.stop)
