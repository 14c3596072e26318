"""Ranking lists: the nearest gallery images of each query."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.blocks import GALLERY_BLOCK, feature_blocks, plan
from torchreid_adv.evaluation.neighbors import nearest
from torchreid_adv.evaluation.ranking import Ints, Labels
from torchreid_adv.models.features import Features


def topk(
    query: Features,
    gallery: Features,
    k: int,
    *,
    distance: Distance | None = None,
    block: int = GALLERY_BLOCK,
    backend: str = "",
    labels: Labels | None = None,
) -> Tensor:
    """Return the k nearest gallery images of each query, junk removed.

    Equally near images come in the order of the gallery, as in :func:`evaluate`.

    Args:
        query: features of Q queries.
        gallery: features of G images.
        k: length of a list.
        distance: how far two features are apart; Euclidean when None.
        block: gallery images whose distances are held at a time.
        backend: "" = by the very numbers that :func:`evaluate` ranks by; ``faiss`` or ``torch`` =
            by :func:`torchreid_adv.evaluation.neighbors.nearest`, for previews of large galleries:
            two images whose distances differ by rounding alone may change places.
        labels: of the same queries and images, where a protocol says what does not count; None =
            what the query's own camera has of its identity.

    Returns:
        (Q, k) int64 rows of the gallery, -1 where a list has ended.

    Raises:
        ConfigError: k or block is below 1.
        DataError: features of different lengths.
    """
    if k < 1:
        raise ConfigError(f"a ranking list holds 1 image or more, got k = {k}")
    if labels is None:
        labels = Labels(query.pids, gallery.pids, query.camids, gallery.camids)
    distance = distance or build_distance("euclidean")
    if backend:
        return torch.from_numpy(_previews(query, gallery, k, distance, labels, backend))
    distances = feature_blocks(query, gallery, distance)
    rows, columns = plan(len(query), len(gallery), block)
    lists = np.full((len(query), k), -1, np.int64)
    for queries in rows:
        matches = labels.matches(queries)
        nearest = [(np.empty(0), np.empty(0, np.int64))] * matches.count
        for span in columns:
            held = distances(queries, span)
            here = (matches.junk_columns >= span.start) & (matches.junk_columns < span.stop)
            held[matches.junk_rows[here], matches.junk_columns[here] - span.start] = np.inf
            nearest = [
                _merge(best, row, span.start, k) for best, row in zip(nearest, held, strict=True)
            ]
        for row, (values, images) in enumerate(nearest, start=queries.start):
            images = images[np.isfinite(values)]
            lists[row, : len(images)] = images
    return torch.from_numpy(lists)


def _previews(
    query: Features, gallery: Features, k: int, distance: Distance, labels: Labels, backend: str
) -> Ints:
    """Return the lists (Q, k) by a neighbor search that goes beyond k by the most junk there is."""
    matches = labels.matches(slice(0, len(query)))
    junk = np.bincount(matches.junk_rows, minlength=len(query))
    sides = distance.map(query.values), distance.map(gallery.values)
    found = nearest(*sides, k + int(junk.max(initial=0)), backend=backend).images
    codes = matches.junk_rows * len(gallery) + matches.junk_columns
    barred = np.isin(np.arange(len(query))[:, None] * len(gallery) + found, codes)
    order = np.argsort(barred, axis=1, kind="stable")[:, :k]
    lists = np.full((len(query), k), -1, np.int64)
    kept = np.take_along_axis(np.where(barred, -1, found), order, axis=1)
    lists[:, : kept.shape[1]] = kept
    return lists


def _merge(
    best: tuple[NDArray[Any], Ints], row: NDArray[Any], start: int, k: int
) -> tuple[NDArray[Any], Ints]:
    """Return the k nearest of those found so far and of one more block, nearest first."""
    if len(row) > k:
        images = np.flatnonzero(row <= np.partition(row, k - 1)[k - 1])
    else:
        images = np.arange(len(row))
    values = np.concatenate([best[0], row[images]])
    images = np.concatenate([best[1], images + start])
    # stable: what is equally near stays in the order of the gallery
    order = np.argsort(values, kind="stable")[:k]
    return values[order], images[order]
