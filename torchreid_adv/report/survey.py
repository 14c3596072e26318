"""A data set's queries ranked before and after the attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchreid_adv.core.speaking import progress_bar
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.evaluation.labels import Matches
from torchreid_adv.evaluation.metrics import scores
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.evaluation.ranking import Block, feature_blocks, plan, positive_ranks
from torchreid_adv.models.features import Features

SURVEY_PAIRS = 100_000_000  # at most this many distances; Market-1501 and Duke fit entirely
SURVEY_QUERIES = 500  # always surveyed


@dataclass(frozen=True)
class Ranking:
    """The gallery ranked for n queries, without the images that do not count for a query.

    Args:
        average_precision: (n,) float64; NaN for a query without a positive.
        first: (n,) 0-based rank of the nearest positive, -1 without one.
        match: (n,) gallery row of the nearest positive, -1 without one.
        rival: (n,) gallery row of the nearest negative, -1 without one.
        rival_distance: (n,) its distance, infinite without one.
        positives: (P,) distances from all queries to all their positives.
    """

    average_precision: Tensor
    first: Tensor
    match: Tensor
    rival: Tensor
    rival_distance: Tensor
    positives: Tensor


def choose_rows(queries: int, gallery: int, *, seed: int = 0) -> Tensor:
    """Return the sorted query rows to survey: all, or a seeded sample when there are too many."""
    limit = max(SURVEY_QUERIES, SURVEY_PAIRS // gallery)
    if queries <= limit:
        return torch.arange(queries)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(queries, generator=generator)[:limit].sort().values


def take(side: Features, rows: Tensor) -> Features:
    """Return the features of some rows."""
    return side.taken(rows.tolist())


def rank(
    query: Features,
    gallery: Features,
    protocol: Protocol,
    *,
    bar: Any,
) -> Ranking:
    """Rank the gallery for each query as the evaluation does, and keep the nearest images.

    Args:
        query: features of n queries.
        gallery: features of G images.
        protocol: the rules; of sampled galleries, all images are ranked.
        bar: progress bar, updated by the number of queries.
    """
    labels = protocol.labels(query, gallery)
    distances = feature_blocks(query, gallery, protocol.distance)
    rows, columns = plan(len(query), len(gallery), protocol.block)
    ranks, starts = positive_ranks(distances, labels, rows, columns)
    average_precision, first, _ = scores(ranks, starts, ap_rule=protocol.ap_rule)
    parts = []
    for queries in rows:
        parts.append(_nearest(distances, labels.matches(queries), queries, columns))
        bar.update(queries.stop - queries.start)
    nearest = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return Ranking(*map(torch.from_numpy, (average_precision, first, *nearest)))


def _nearest(
    distances: Block, matches: Matches, queries: slice, columns: list[slice]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return match, rival, its distance, and the distances of all positives, of some queries."""
    positives = np.empty(len(matches.rows))
    rival, rival_distance = np.full(matches.count, -1), np.full(matches.count, np.inf)
    for span in columns:
        block = distances(queries, span)
        in_span = _inside(matches.columns, span)
        positive_cells = matches.rows[in_span], matches.columns[in_span] - span.start
        positives[in_span] = block[positive_cells]
        block[positive_cells] = np.inf
        junk = _inside(matches.junk_columns, span)
        block[matches.junk_rows[junk], matches.junk_columns[junk] - span.start] = np.inf
        best = block.argmin(axis=1)
        value = block[np.arange(len(block)), best]
        nearer = value < rival_distance
        rival[nearer], rival_distance[nearer] = best[nearer] + span.start, value[nearer]
    return _closest(matches, positives), rival, rival_distance, positives


def _closest(matches: Matches, positives: np.ndarray) -> np.ndarray:
    """Return the gallery row of each query's nearest positive, -1 without one."""
    match = np.full(matches.count, -1)
    order = np.lexsort((matches.columns, positives, matches.rows))
    rows, first = np.unique(matches.rows[order], return_index=True)
    match[rows] = matches.columns[order][first]
    return match


def _inside(columns: np.ndarray, span: slice) -> np.ndarray:
    return (columns >= span.start) & (columns < span.stop)


@dataclass(frozen=True)
class Survey:
    """The surveyed queries, ranked before and after the attack.

    Args:
        rows: (n,) query rows; all of them, or a sample.
        complete: the rows are all queries.
        before: ranking of the clean gallery by the clean queries.
        after: ranking after the attack.
    """

    rows: Tensor
    complete: bool
    before: Ranking
    after: Ranking


def survey_target(target: AttackedData) -> Survey:
    """Rank the target's queries, or a seeded sample of them, before and after the attack."""
    rows = choose_rows(len(target.query), len(target.gallery))
    sides = (target.query, target.gallery), (target.query_after, target.gallery_after)
    with progress_bar("Report", total=2 * len(rows), unit="query") as bar:
        before, after = (
            rank(take(query, rows), gallery, target.protocol, bar=bar) for query, gallery in sides
        )
    return Survey(rows, len(rows) == len(target.query), before, after)
