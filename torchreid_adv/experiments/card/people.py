"""Identities as the unit of a result: means of each, their spread, and bootstrap intervals."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from torchreid_adv.standard.scores import INTERVAL, Floats, interval

LEAST = 4  # identities in the worst tenth, where there are as many
BROKEN = 2.0  # times chance: an identity at or below is not found

Statistic = Callable[[Floats], Floats]


@dataclass(frozen=True, eq=False)
class People:
    """Queries by identity.

    Args:
        pids: (Q,) identities.
        held: (Q,) which queries have a match.
        bootstrap: resamplings of identities for an interval.
    """

    pids: NDArray[np.int64]
    held: NDArray[np.bool_]
    bootstrap: int

    @property
    def known(self) -> NDArray[np.int64]:
        """(I,) the identities with a query that has a match, rising."""
        return np.unique(self.pids[self.held])

    def means(self, values: Floats) -> Floats:
        """Return the mean (I,) of each identity's queries.

        Args:
            values: (Q,) of each query.
        """
        _, of = np.unique(self.pids[self.held], return_inverse=True)
        return np.asarray(np.bincount(of, weights=values[self.held]) / np.bincount(of))

    def mean(self, values: Floats) -> dict[str, Any]:
        """Return the mean over queries, mAP, and its interval over identities.

        Args:
            values: (Q,) average precision.
        """
        ends = interval(np.where(self.held, values, np.nan), self.pids, self.bootstrap)
        return {"mAP": float(values[self.held].mean()), "interval": list(ends)}

    def spread(self, values: Floats, chance: Floats) -> dict[str, Any]:
        """Return how identities differ.

        Args:
            values: (Q,) average precision.
            chance: (Q,) expected average precision of a random order.

        Returns:
            ``deviation`` over identities (None for one), ``worst_tenth``, the mean of the lowest
            tenth of the identities, ``worst_count``, how many these are, ``lost``, the share of
            identities at or below twice chance, and the interval of each.
        """
        means, limits = self.means(values), BROKEN * self.means(chance)
        count = min(len(means), max(LEAST, -(-len(means) // 10)))
        lost = (means <= limits).astype(np.float64)

        def lowest(drawn: Floats) -> Floats:
            return np.asarray(np.sort(drawn, axis=1)[:, :count].mean(axis=1))

        statistics: dict[str, Any] = {"deviation": None, "deviation_interval": None}
        if len(means) > 1:
            statistics = self._drawn("deviation", means, lambda drawn: drawn.std(axis=1, ddof=1))
        statistics |= self._drawn("worst_tenth", means, lowest)
        statistics["worst_count"] = count
        return statistics | self._drawn("lost", lost, lambda drawn: drawn.mean(axis=1))

    def _drawn(self, name: str, values: Floats, statistic: Statistic) -> dict[str, Any]:
        """Return a statistic of the identities and its interval, from redrawn identities.

        Args:
            name: of the statistic.
            values: (I,) of each identity.
            statistic: (D, I) -> (D,).
        """
        places = np.random.default_rng(0).integers(len(values), size=(self.bootstrap, len(values)))
        low, high = np.percentile(statistic(values[places]), INTERVAL)
        return {
            name: float(statistic(values[None])[0]),
            f"{name}_interval": [float(low), float(high)],
        }


def rank_correlation(first: Floats, second: Floats) -> float | None:
    """Return Spearman's rho of two values of the same things, None where one does not vary."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)


def agreement(rows: Floats) -> float | None:
    """Return Kendall's tau between the orders of models in several draws, mean over pairs of draws.

    Args:
        rows: (D, M) mAP of M models in each of D draws.

    Returns:
        1 where all draws order the models alike; None for fewer than two draws or three models, or
        where all models of a draw are equal.
    """
    if rows.shape[0] < 2 or rows.shape[1] < 3 or (np.ptp(rows, axis=1) == 0).any():
        return None
    pairs = itertools.combinations(rows, 2)
    return float(np.mean([kendalltau(a, b).statistic for a, b in pairs]))
