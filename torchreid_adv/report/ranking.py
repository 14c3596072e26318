"""How a gallery ranks for each query: what lists, curves and histograms are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchreid_adv.distances import Distance
from torchreid_adv.evaluation.precision import scores
from torchreid_adv.models.features import Features

CHUNK_PAIRS = 4_000_000  # distances held at a time: some 100 MB with their order
SURVEY_PAIRS = 100_000_000  # distances ranked in all: seconds; Market-1501 and Duke fit entirely
SURVEY_QUERIES = 500  # ranked in any case


@dataclass(frozen=True)
class Ranking:
    """The gallery ranked for n queries, gallery images of the query's own pid and camera left out.

    Args:
        average_precision: (n,) float64; NaN for a query without a positive.
        first: (n,) 0-based rank of the nearest positive, -1 without one.
        match: (n,) gallery row of the nearest positive, -1 without one.
        rival: (n,) gallery row of the nearest negative, -1 without one.
        rival_distance: (n,) its distance, infinite without one.
        top: (n, k) gallery rows of the nearest images, -1 where the list has ended.
        top_distance: (n, k) their distances, infinite where the list has ended.
        positives: (P,) distances from all queries to all their positives.
    """

    average_precision: Tensor
    first: Tensor
    match: Tensor
    rival: Tensor
    rival_distance: Tensor
    top: Tensor
    top_distance: Tensor
    positives: Tensor


def choose_rows(queries: int, gallery: int, *, seed: int = 0) -> Tensor:
    """Return the sorted query rows to look at: all, or a seeded sample when there are too many."""
    limit = max(SURVEY_QUERIES, SURVEY_PAIRS // gallery)
    if queries <= limit:
        return torch.arange(queries)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(queries, generator=generator)[:limit].sort().values


@torch.no_grad()
def rank(
    query: Features,
    gallery: Features,
    rows: Tensor,
    distance: Distance,
    *,
    k: int = 10,
    ap_rule: str = "standard",
    bar: Any,
) -> Ranking:
    """Rank the gallery for some queries, a few rows at a time.

    Args:
        query: features of Q queries.
        gallery: features of G images.
        rows: (n,) the queries to look at.
        distance: between query and gallery features.
        k: length of the lists that are kept.
        ap_rule: how precisions are averaged, "standard" or "trapezoid".
        bar: progress bar, updated by the number of queries.
    """
    mapped = distance.map(gallery.values)
    parts = []
    for chunk in rows.split(max(1, CHUNK_PAIRS // len(gallery))):
        distances = distance.between(distance.map(query.values[chunk]), mapped)
        same = query.pids[chunk, None] == gallery.pids
        junk = same & (query.camids[chunk, None] == gallery.camids)
        parts.append(_rank_chunk(distances.cpu(), same.cpu(), junk.cpu(), k, ap_rule))
        bar.update(len(chunk))
    names = [field.name for field in fields(Ranking)]
    return Ranking(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def _rank_chunk(distances: Tensor, same: Tensor, junk: Tensor, k: int, ap_rule: str) -> Ranking:
    positive = same & ~junk
    ranked, order = distances.masked_fill(junk, torch.inf).sort(dim=1, stable=True)
    average_precision, first = _score(positive.gather(1, order), ap_rule)
    found = first >= 0
    rival_distance, rival = distances.masked_fill(same, torch.inf).min(dim=1)
    end = torch.isinf(ranked[:, :k])
    return Ranking(
        average_precision=average_precision,
        first=first,
        match=order.gather(1, first.clamp(min=0)[:, None])[:, 0].where(found, -1),
        rival=rival.where(~torch.isinf(rival_distance), -1),
        rival_distance=rival_distance,
        top=order[:, :k].masked_fill(end, -1),
        top_distance=ranked[:, :k],
        positives=distances[positive],
    )


def _score(hits: Tensor, ap_rule: str) -> tuple[Tensor, Tensor]:
    """Return average precision and first match; ``hits`` marks the ranks of the positives."""
    ranks = hits.nonzero()[:, 1].numpy()
    starts = np.concatenate([[0], hits.sum(dim=1).cumsum(dim=0).numpy()])
    average_precision, first, _ = scores(ranks, starts, ap_rule=ap_rule)
    return torch.from_numpy(average_precision), torch.from_numpy(first)
