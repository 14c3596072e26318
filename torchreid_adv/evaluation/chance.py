"""The expected score of a random ranking."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.evaluation.metrics import check_ap_rule
from torchreid_adv.evaluation.ranking import Ints, Labels

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
