"""Ranking lists: the nearest gallery images of each query."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation.labels import Ints, Labels
from torchreid_adv.evaluation.neighbors import nearest
from torchreid_adv.evaluation.ranking import GALLERY_BLOCK, feature_blocks, plan
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
    """Return the k nearest gallery images of each query, without junk.

    Ties come in the order of the gallery, as in :func:`evaluate`.

    Args:
        query: features of Q queries.
        gallery: features of G images.
        k: length of a list.
        distance: the distance between two features; None = Euclidean.
        block: gallery images whose distances are in memory at a time.
        backend: "" = rank by exactly the distances of :func:`evaluate`; ``faiss`` or ``torch`` =
            by :func:`torchreid_adv.evaluation.neighbors.nearest`, for previews of large galleries:
            two images whose distances differ only by rounding may swap places.
        labels: of the same queries and images, if a protocol defines junk; None = junk has the
            query's identity and camera.

    Returns:
        (Q, k) int64 rows of the gallery, -1 after the end of a list.

    Raises:
        ConfigError: k or block is below 1.
        DataError: features differ in length.
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
            block_distances = distances(queries, span)
            in_span = (matches.junk_columns >= span.start) & (matches.junk_columns < span.stop)
            block_distances[
                matches.junk_rows[in_span], matches.junk_columns[in_span] - span.start
            ] = np.inf
            nearest = [
                _merge(best, row, span.start, k)
                for best, row in zip(nearest, block_distances, strict=True)
            ]
        for row, (values, images) in enumerate(nearest, start=queries.start):
            images = images[np.isfinite(values)]
            lists[row, : len(images)] = images
    return torch.from_numpy(lists)


def _previews(
    query: Features, gallery: Features, k: int, distance: Distance, labels: Labels, backend: str
) -> Ints:
    """Return the lists (Q, k) by a neighbor search with room for the largest number of junk."""
    matches = labels.matches(slice(0, len(query)))
    junk = np.bincount(matches.junk_rows, minlength=len(query))
    sides = distance.map(query.values), distance.map(gallery.values)
    nearest_images = nearest(*sides, k + int(junk.max(initial=0)), backend=backend).images
    codes = matches.junk_rows * len(gallery) + matches.junk_columns
    barred = np.isin(np.arange(len(query))[:, None] * len(gallery) + nearest_images, codes)
    order = np.argsort(barred, axis=1, kind="stable")[:, :k]
    lists = np.full((len(query), k), -1, np.int64)
    listed_images = np.take_along_axis(np.where(barred, -1, nearest_images), order, axis=1)
    lists[:, : listed_images.shape[1]] = listed_images
    return lists


def _merge(
    best: tuple[NDArray[Any], Ints], row: NDArray[Any], start: int, k: int
) -> tuple[NDArray[Any], Ints]:
    """Return the k nearest images so far after adding a block, nearest first."""
    if len(row) > k:
        images = np.flatnonzero(row <= np.partition(row, k - 1)[k - 1])
    else:
        images = np.arange(len(row))
    values = np.concatenate([best[0], row[images]])
    images = np.concatenate([best[1], images + start])
    # stable: ties stay in the order of the gallery
    order = np.argsort(values, kind="stable")[:k]
    return values[order], images[order]
