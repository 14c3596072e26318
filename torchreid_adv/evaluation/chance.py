"""What a random order scores: the floor that a ranking is held against."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

Labels = tuple[int, int]  # pid, camid


def expected_average_precision(positives: int, images: int) -> float:
    """Return the mean average precision over all orders of a gallery, by the standard rule.

    Place k holds a positive in R / N of the orders, and then (k - 1) (R - 1) / (N - 1) further ones
    stand before it on average; the sum of both over k, over k, is the closed form.

    Args:
        positives: R of the gallery's images, at least 1.
        images: N, without what does not count for the query.
    """
    harmonic = math.fsum(1 / place for place in range(1, images + 1))
    if images == 1:
        return 1.0
    return (harmonic + (positives - 1) / (images - 1) * (images - harmonic)) / images


def chance(
    query: Sequence[Labels], gallery: Sequence[Labels], *, same_camera: bool = True
) -> float:
    """Return the mAP of a random order.

    Args:
        query: of those without a positive nothing is said.
        gallery: in any order.
        same_camera: what the query's own camera has of its identity does not count, which is
            Market-1501's rule.
    """
    people, views = Counter(pid for pid, _ in gallery), Counter(gallery if same_camera else ())
    means = [
        expected_average_precision(
            people[pid] - views[pid, camid], len(gallery) - views[pid, camid]
        )
        for pid, camid in query
        if people[pid] > views[pid, camid]
    ]
    return math.fsum(means) / len(means)
