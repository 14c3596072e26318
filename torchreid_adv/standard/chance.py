"""What a ranking without any knowledge scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.evaluation.matches import Labels
from torchreid_adv.models import Features

BROKEN = 2.0  # times chance: a query at or below is broken


def expected_precision(
    positives: NDArray[np.int64], valid: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the expected average precision of a random order (Bestgen, 2015).

    ``(H_n + (p - 1) / (n - 1) (n - H_n)) / n`` with the harmonic number H_n.

    Args:
        positives: (Q,) p, right matches of each query, 1 or more.
        valid: (Q,) n, gallery images that count for it.
    """
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, valid.max() + 1))])[valid]
    share = (positives - 1) / np.maximum(valid - 1, 1)
    return np.asarray((harmonic + share * (valid - harmonic)) / valid)


def chances(query: Features, gallery: Features) -> NDArray[np.float64]:
    """Return the expected average precision (Q,) of each query; NaN for one without a match."""
    labels = Labels(query.pids.cpu(), gallery.pids.cpu(), query.camids.cpu(), gallery.camids.cpu())
    matches = labels.matches(slice(0, len(query)))
    positives = np.bincount(matches.rows, minlength=len(query))
    valid = len(gallery) - np.bincount(matches.junk_rows, minlength=len(query))
    found = expected_precision(np.maximum(positives, 1), valid)
    return np.where(positives > 0, found, np.nan)
