"""How far queries are from their own identity: what a metric attack shifts."""

from __future__ import annotations

import torch

from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.models.features import Features

ROWS = 256


@torch.no_grad()
def positive_distance(query: Features, gallery: Features, protocol: Protocol) -> float:
    """Return the mean distance of queries to the gallery images that are correct matches.

    Args:
        query: features of the queries.
        gallery: features of the gallery.
        protocol: how far two features are apart, and which matches count.

    Returns:
        the mean over all such pairs, NaN when there is none.
    """
    distance, labels = protocol.distance, protocol.labels(query, gallery)
    mapped, total, count = distance.map(gallery.values), 0.0, 0
    for start in range(0, len(query), ROWS):
        rows = slice(start, min(start + ROWS, len(query)))
        pairs = labels.matches(rows)
        between = distance.between(distance.map(query.values[rows]), mapped).cpu()
        total += float(between[pairs.rows, pairs.columns].double().sum())
        count += len(pairs.rows)
    return total / count if count else float("nan")
