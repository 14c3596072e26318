"""Scores per query and attack, and their summary."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.errors import DataError

RANKS = (1, 5, 10)
CLEAN = "clean"
COMPOSED = "composed"  # the gallery of each identity's worst attack, and its folder
INTERVAL = (2.5, 97.5)  # percent

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class QueryScores:
    """The scores of Q queries under one attack; NaN where it was not run or without a match.

    Args:
        ap: (Q,) average precision; for a random defense, its mean over draws.
        hits: (Q, 3) share of draws with a match among the first 1, 5, 10 images.
        draws: mAP of the attacked queries for each draw.
    """

    ap: Floats
    hits: Floats
    draws: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return them as plain numbers."""
        return {
            "ap": [None if np.isnan(v) else v for v in self.ap.tolist()],
            "hits": [[None if np.isnan(v) else v for v in row] for row in self.hits.tolist()],
            "draws": list(self.draws),
        }

    @classmethod
    def of(cls, facts: dict[str, Any]) -> QueryScores:
        """Return the scores from the values of :meth:`to_dict`."""
        ap, hits = (np.array(facts[name], dtype=np.float64) for name in ("ap", "hits"))
        return cls(ap, hits, tuple(facts["draws"]))


@dataclass
class Table:
    """Scores of all attacks on the same Q queries, ``clean`` among them.

    Args:
        pids: (Q,) identities.
        clean: scores without an attack.
        scores: by the name of the attack, in the order they were run.
    """

    pids: NDArray[np.int64]
    clean: QueryScores
    scores: dict[str, QueryScores] = field(default_factory=dict)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(Q,) the queries that have a match."""
        return ~np.isnan(self.clean.ap)

    def worst(self, names: Iterable[str] | None = None) -> Floats:
        """Return each query's lowest average precision (Q,) over ``clean`` and some attacks.

        Args:
            names: attacks; None = all.
        """
        rows = [self.clean.ap, *(s.ap for name, s in self.scores.items() if _in(name, names))]
        return np.asarray(np.fmin.reduce(rows))

    def by(self) -> list[str]:
        """Return the attack with each query's lowest average precision, the first if several."""
        rows = np.stack([self.clean.ap, *(s.ap for s in self.scores.values())])
        names = [CLEAN, *self.scores]
        return [names[place] for place in np.nan_to_num(rows, nan=np.inf).argmin(0)]

    def mean_precision(self, names: Iterable[str] | None = None) -> float:
        """Return the mean over queries of :meth:`worst`: robust mAP, never above clean mAP."""
        return float(self.worst(names)[self.valid].mean())

    def held(self, names: Iterable[str] | None = None) -> Floats:
        """Return the lowest share of draws (Q, 3) with a match within 1, 5, 10 over all attacks."""
        rows = [self.clean.hits, *(s.hits for name, s in self.scores.items() if _in(name, names))]
        return np.asarray(np.fmin.reduce(rows))

    def survival(self, names: Iterable[str] | None = None) -> dict[str, float]:
        """Return robust Rank-k: the share of queries whose match stays within k for all attacks."""
        left = self.held(names)[self.valid].mean(0)
        return {str(k): float(share) for k, share in zip(RANKS, left, strict=True)}

    def wins(self) -> dict[str, dict[str, int]]:
        """Return winner -> loser -> queries on which both were run and the winner left less."""
        return {
            a: {
                b: int((self.scores[a].ap < self.scores[b].ap).sum()) for b in self.scores if b != a
            }
            for a in self.scores
        }


def _in(name: str, names: Iterable[str] | None) -> bool:
    return names is None or name in names


def summary(table: Table, resamplings: int) -> dict[str, Any]:
    """Return the results of a table: clean, robust, per attack, and the pairwise comparison.

    Args:
        table: of one track and bound.
        resamplings: of identities, for the interval.
    """
    clean, robust = table.mean_precision(()), table.mean_precision()
    by, worst, alone = table.by(), table.clean.ap, {}
    for name, scores in table.scores.items():
        run = ~np.isnan(scores.ap)
        alone[name] = {
            "queries": int(run.sum()),
            "before": _mean(worst[run]),
            "mAP": _mean(scores.ap[run]),
            "cmc": {str(k): _mean(scores.hits[run, n]) for n, k in enumerate(RANKS)},
            "draws": list(scores.draws),
            "won": by.count(name),
        }
        worst = np.fmin(worst, scores.ap)
        alone[name]["left"] = float(worst[table.valid].mean())
    return {
        "clean": {"mAP": clean, "cmc": table.survival(())},
        "robust": {"mAP": robust, "cmc": table.survival()},
        "interval": list(interval(table.worst(), table.pids, resamplings)),
        "rank1_interval": list(interval(table.held()[:, 0], table.pids, resamplings)),
        "map_ratio": robust / clean if clean else None,
        "queries": int(table.valid.sum()),
        "skipped": int((~table.valid).sum()),
        "best_attack": max(alone, key=by.count, default=CLEAN),
        "attacks": alone,
        "wins": table.wins(),
    }


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def interval(values: Floats, pids: NDArray[np.int64], resamplings: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean over queries, resampled by identity.

    Queries of one person are similar, so identities are resampled, not queries.

    Args:
        values: (Q,) of each query; NaN where it does not count.
        pids: (Q,) identities.
        resamplings: number of resamplings, with a fixed seed.

    Raises:
        DataError: no query counts.
    """
    held = ~np.isnan(values)
    if not held.any():
        raise DataError("no query has a match by another camera, so there is nothing to score")
    _, of = np.unique(pids[held], return_inverse=True)
    sums, counts = np.bincount(of, weights=values[held]), np.bincount(of)
    draws = np.random.default_rng(0)
    means = np.empty(resamplings)
    for number in range(resamplings):
        drawn = draws.integers(len(counts), size=len(counts))
        means[number] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.percentile(means, INTERVAL)
    return float(low), float(high)


def median_breaking_bound(hits: Floats, bounds: tuple[int, ...]) -> float | None:
    """Return the median over queries of the least bound at which the first match is lost.

    Args:
        hits: (B, Q) share of draws in which the first image is a match, by bound.
        bounds: B bounds in rising order, gray levels, the first one 0.

    Returns:
        the median over queries that have a correct first match at bound 0; None if there are
        none, or if half of them never lose it.
    """
    held = hits[0] > 0.5
    if not held.any():
        return None
    lost = hits[:, held] <= 0.5
    least = np.where(lost.any(0), np.array(bounds)[lost.argmax(0)], np.inf)
    middle = float(np.median(least))
    return middle if np.isfinite(middle) else None


def rising(curve: dict[int, float]) -> float:
    """Return the largest rise of mAP from one bound to the next larger one."""
    pairs = itertools.pairwise(curve[bound] for bound in sorted(curve))
    return max((after - before for before, after in pairs), default=0.0)


BROKEN = 2.0  # times chance: a query at or below is broken
