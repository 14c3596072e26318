"""The CUHK03 protocol: match curves over galleries of one image per identity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.evaluation.blocks import Block
from torchreid_adv.evaluation.matches import Ints, Labels
from torchreid_adv.evaluation.results import REPORTED_RANKS

REPEATS = 10


def single_shot_curve(
    distances: Block, labels: Labels, rows: list[slice], *, length: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the match curve of the mean over queries and drawn galleries, and each query's hits.

    For each query with a positive, 10 galleries are drawn with one image of each identity (of the
    query's own: one of its positives). The draws of a query depend on the seed and on its place
    among the queries only.

    Args:
        distances: gives the distances of a block.
        labels: identities and cameras.
        rows: blocks of queries; whole rows of distances are asked for.
        length: number of ranks.
        seed: of the draws.

    Returns:
        (length,) the curve, and (Q, 4) the share of a query's galleries with its match among the
        first 1, 5, 10 and 20; NaN for a query without a positive.
    """
    pids, counts = np.unique(labels.gallery_pids, return_counts=True)
    reported = np.array(REPORTED_RANKS)
    total, shares = np.zeros(length), np.full((len(labels.query_pids), len(reported)), np.nan)
    for span in rows:
        block = distances(span, slice(0, len(labels.gallery_pids)))
        matches = labels.matches(span)
        for row in np.unique(matches.rows):
            positives = matches.columns[matches.rows == row]
            query = span.start + int(row)
            identity = int(np.searchsorted(pids, labels.query_pids[query]))
            generator = np.random.default_rng((seed, query))
            shots, own = draw_galleries(generator, labels.by_pid, counts, identity, positives)
            ranks = single_shot_ranks(block[row], shots, own)
            total += np.bincount(ranks[ranks < length], minlength=length)
            shares[query] = (ranks[:, None] < reported).mean(0)
    queries = int(np.isfinite(shares[:, 0]).sum())
    return np.cumsum(total) / (REPEATS * queries), shares


def draw_galleries(
    generator: np.random.Generator, by_pid: Ints, counts: Ints, identity: int, positives: Ints
) -> tuple[Ints, Ints]:
    """Draw one image of each identity, REPEATS times.

    Args:
        generator: of the draws.
        by_pid: (G,) gallery images sorted by identity.
        counts: (I,) images of each identity.
        identity: place of the query's identity among the I.
        positives: gallery images of that identity that may be drawn.

    Returns:
        (REPEATS, I) drawn images and (REPEATS,) the one of the query's identity among them.
    """
    limits = counts.copy()
    limits[identity] = len(positives)
    draws = generator.integers(0, limits, size=(REPEATS, len(counts)))
    # draws of the query's identity are of its positives; they are put in below
    shots = by_pid[np.cumsum(counts) - counts + draws]
    own = positives[draws[:, identity]]
    shots[:, identity] = own
    return shots, own


def single_shot_ranks(row: NDArray[Any], shots: Ints, own: Ints) -> Ints:
    """Return the 0-based rank (REPEATS,) of the query's own image in each drawn gallery.

    Args:
        row: (G,) distances of one query.
        shots: (REPEATS, I) drawn images.
        own: (REPEATS,) the one that is of the query's identity.
    """
    values, reference = row[shots], row[own][:, None]
    before = (values < reference) | ((values == reference) & (shots < own[:, None]))
    return before.sum(axis=1)
