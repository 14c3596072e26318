"""How far queries are from their own identity: what a metric attack shifts."""

from __future__ import annotations

import torch

from torchreid_adv.distances import Distance
from torchreid_adv.models.features import Features

ROWS = 256


@torch.no_grad()
def positive_distance(query: Features, gallery: Features, distance: Distance) -> float:
    """Return the mean distance of queries to gallery images of their identity, other cameras.

    Args:
        query: features of the queries.
        gallery: features of the gallery.
        distance: how far two features are apart.

    Returns:
        the mean over all such pairs, NaN when there is none.
    """
    mapped, total, count = distance.map(gallery.values), 0.0, 0
    for rows in torch.arange(len(query)).split(ROWS):
        same = query.pids[rows, None] == gallery.pids
        same &= query.camids[rows, None] != gallery.camids
        between = distance.between(distance.map(query.values[rows]), mapped)
        total += float(between[same].double().sum())
        count += int(same.sum())
    return total / count if count else float("nan")
