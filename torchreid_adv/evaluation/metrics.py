"""AP, mINP and the match curve from the ranks of positives: pure functions in float64.

Also the expected AP of a random ranking.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.evaluation.labels import Ints, Labels

Floats = NDArray[np.float64]


def standard(place: NDArray[Any], ranks: NDArray[Any]) -> Floats:
    """Return the precision at each positive, ``(i + 1) / (r + 1)``: torchreid's rule.

    Args:
        place: (P,) i, the number of positives of the query ranked before this one.
        ranks: (P,) r, the number of valid gallery images ranked before this one.
    """
    return (place + 1) / (ranks + 1)


def trapezoid(place: NDArray[Any], ranks: NDArray[Any]) -> Floats:
    """Return the area below each step of the precision-recall curve.

    It is the mean of ``i / r`` and ``(i + 1) / (r + 1)``, where the first counts as 1 at r = 0: the
    rule of the Market-1501 and Oxford5k code and of "Adversarial Metric Attack" (Bai et al.). It
    never exceeds :func:`standard`.

    Args:
        place: (P,) i, the number of positives of the query ranked before this one.
        ranks: (P,) r, the number of valid gallery images ranked before this one.
    """
    before = np.where(ranks == 0, 1.0, place / np.maximum(ranks, 1))
    return (before + standard(place, ranks)) / 2


AP_RULES: dict[str, Callable[[NDArray[Any], NDArray[Any]], Floats]] = {
    "standard": standard,
    "trapezoid": trapezoid,
}


def check_ap_rule(name: str) -> None:
    """Refuse an unknown rule of average precision.

    Raises:
        ConfigError: the name is unknown; the error suggests the nearest one.
    """
    if name not in AP_RULES:
        raise ConfigError(f"unknown ap_rule '{name}'{suggest(name, AP_RULES)}")


def scores(ranks: Ints, starts: Ints, *, ap_rule: str) -> tuple[Floats, Ints, Floats]:
    """Return average precision, first match and inverse negative penalty of each query.

    The penalty is from "Deep Learning for Person Re-identification: A Survey and Outlook" (Ye et
    al., eq. 5): the number of positives over the 1-based rank of the hardest one.

    Args:
        ranks: (P,) 0-based ranks of all positives, query after query.
        starts: (Q + 1,) start of the positives of each query.
        ap_rule: a key of :data:`AP_RULES`.

    Returns:
        (Q,) average precision, (Q,) rank of the first positive and (Q,) inverse negative penalty;
        NaN, -1 and NaN for a query without a positive.
    """
    counts = np.diff(starts)
    rows = np.repeat(np.arange(len(counts)), counts)
    ranks = ranks[np.lexsort((ranks, rows))]
    place = np.arange(len(ranks)) - starts[rows]
    valid = counts > 0
    precision, penalty = np.full(len(counts), np.nan), np.full(len(counts), np.nan)
    first = np.full(len(counts), -1, np.int64)
    if valid.any():
        begin = starts[:-1][valid]
        sums = np.add.reduceat(AP_RULES[ap_rule](place, ranks), begin)
        precision[valid] = sums / counts[valid]
        first[valid] = ranks[begin]
        penalty[valid] = counts[valid] / (ranks[starts[1:][valid] - 1] + 1)
    return precision, first, penalty


def match_curve(first: Ints, length: int) -> Floats:
    """Return the share of queries whose first positive is among the first k, k = 1..length.

    Args:
        first: (V,) 0-based rank of the first positive of each valid query.
        length: number of ranks; constant beyond the gallery's size.
    """
    hits = np.bincount(first[first < length], minlength=length)
    return np.cumsum(hits) / len(first)


_ROWS = 256


def expected_precision(
    positives: Ints, valid: Ints, *, ap_rule: str = "standard"
) -> NDArray[np.float64]:
    """Return the expected average precision of a random ranking (Bestgen, 2015).

    ``(H_n + (p - 1) / (n - 1) (n - H_n)) / n`` with the harmonic number H_n: place k holds a
    positive in p / n of all orders, with (k - 1) (p - 1) / (n - 1) other positives before it on
    average. With the rule "trapezoid" it is the mean of this and p / n.

    Args:
        positives: (Q,) p, number of correct matches of each query, 1 or more.
        valid: (Q,) n, number of gallery images that count for the query.
        ap_rule: how precisions are averaged, "standard" or "trapezoid".

    Raises:
        ConfigError: ap_rule is unknown.
    """
    check_ap_rule(ap_rule)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, valid.max() + 1))])[valid]
    share = (positives - 1) / np.maximum(valid - 1, 1)
    expected = np.asarray((harmonic + share * (valid - harmonic)) / valid)
    return expected if ap_rule == "standard" else (expected + positives / valid) / 2


def chances(labels: Labels, *, ap_rule: str = "standard") -> NDArray[np.float64]:
    """Return the expected average precision (Q,) of each query; NaN without a match."""
    positives, junk = [], []
    for start in range(0, len(labels.query_pids), _ROWS):
        matches = labels.matches(slice(start, min(start + _ROWS, len(labels.query_pids))))
        positives.append(np.bincount(matches.rows, minlength=matches.count))
        junk.append(np.bincount(matches.junk_rows, minlength=matches.count))
    held = np.concatenate(positives)
    valid = len(labels.gallery_pids) - np.concatenate(junk)
    expected = expected_precision(np.maximum(held, 1), np.maximum(valid, 1), ap_rule=ap_rule)
    return np.where(held > 0, expected, np.nan)
