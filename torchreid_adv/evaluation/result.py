"""Results of a retrieval evaluation: scores of each query, and summary measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.core.tabular import Rows, Tabular
from torchreid_adv.errors import ConfigError, DataError

REPORTED_RANKS = (1, 5, 10, 20)
_RERANKED = ("mAP", "cmc")


@dataclass(frozen=True, eq=False, repr=False)
class RetrievalResult(Tabular):
    """Scores of Q queries, validated on construction; queries without a positive are skipped.

    Args:
        image_ids: Q names.
        pids: (Q,) int64, identities.
        average_precision: (Q,) float64 in [0, 1]; NaN where a query is skipped.
        first_match_rank: (Q,) int64, 0-based rank of the first positive; -1 where skipped.
        inverse_penalty: (Q,) float64 in (0, 1], number of positives over the 1-based rank of the
            hardest of them; NaN where skipped.
        valid: (Q,) bool, the queries that have a positive.
        cmc: (K,) float64, K >= 20: share of valid queries with a match among the first k images.
        ap_rule: how precisions were averaged, "standard" or "trapezoid".
        hits: (Q, 4) float64, share of the drawn galleries in which a query has a match among the
            first 1, 5, 10 and 20; NaN where skipped. None = derived from first_match_rank.
        galleries: number of ranked galleries; Q counts each query once for each gallery, gallery
            after gallery.

    Raises:
        DataError: fields contradict each other, or no query is valid.
    """

    image_ids: tuple[str, ...]
    pids: NDArray[np.int64]
    average_precision: NDArray[np.float64]
    first_match_rank: NDArray[np.int64]
    inverse_penalty: NDArray[np.float64]
    valid: NDArray[np.bool_]
    cmc: NDArray[np.float64]
    ap_rule: str = "standard"
    hits: NDArray[np.float64] | None = None
    galleries: int = 1

    def __post_init__(self) -> None:
        fault = self._fault()
        if fault:
            raise DataError(f"this is not a retrieval result: {fault}")

    def __repr__(self) -> str:
        return (
            f"RetrievalResult(mAP={self.mAP:.1%}, rank-1={self.rank(1):.1%}, "
            f"mINP={self.mINP:.1%}, queries={self.queries}, skipped={self.skipped})"
        )

    def _fault(self) -> str:
        columns = ("pids", "average_precision", "first_match_rank", "inverse_penalty", "valid")
        for name in columns:
            if getattr(self, name).shape != (len(self.image_ids),):
                return f"{name} has shape {getattr(self, name).shape}, not one per image_id"
        if self.valid.dtype != bool or not self.valid.any():
            return "valid must be a mask that holds at least one query"
        for name in ("average_precision", "inverse_penalty"):
            values = getattr(self, name)
            if not _within(values[self.valid]) or not np.isnan(values[~self.valid]).all():
                return f"{name} must be in [0, 1], and NaN where a query is skipped"
        if not ((self.first_match_rank >= 0) == self.valid).all():
            return "first_match_rank must be 0 or more, and -1 where a query is skipped"
        if len(self.image_ids) % self.galleries:
            return (
                f"{len(self.image_ids)} rows cannot be split into {self.galleries} galleries with "
                "equally many queries"
            )
        if len(self.cmc) < max(REPORTED_RANKS) or not _within(self.cmc):
            return f"cmc must hold at least {max(REPORTED_RANKS)} values in [0, 1]"
        return "cmc must not fall" if (np.diff(self.cmc) < 0).any() else ""

    @property
    def mAP(self) -> float:
        """Mean average precision of the valid queries, in [0, 1]."""
        return float(np.mean(self.average_precision[self.valid]))

    @property
    def mINP(self) -> float:
        """Mean inverse negative penalty of the valid queries, in [0, 1]."""
        return float(np.mean(self.inverse_penalty[self.valid]))

    @property
    def queries(self) -> int:
        """Number of valid queries, that is, queries that are scored."""
        return int(self.valid.sum())

    @property
    def skipped(self) -> int:
        """Number of queries without a positive."""
        return len(self.valid) - self.queries

    def rank(self, k: int) -> float:
        """Return the share of valid queries with a match among the first k images, in [0, 1].

        Raises:
            ConfigError: k is not in 1..K.
        """
        if not 1 <= k <= len(self.cmc):
            raise ConfigError(
                f"the match curve was computed for ranks 1 to {len(self.cmc)}, got rank {k}; "
                "evaluate with a larger max_rank"
            )
        return float(self.cmc[k - 1])

    def of_queries(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return each query's scores, averaged over the galleries in which it has a match.

        Returns:
            (N,) average precision, and (N, 4) share of galleries with a match among the first 1,
            5, 10 and 20, of N = Q / galleries queries; NaN for a query that is always skipped.
        """
        hits = self.hits
        if hits is None:
            hits = (self.first_match_rank[:, None] < np.array(REPORTED_RANKS)).astype(np.float64)
        shape, valid = (self.galleries, -1), self.valid
        counts = valid.reshape(shape).sum(0).astype(np.float64)
        counts[counts == 0] = np.nan
        precision = np.where(valid, self.average_precision, 0).reshape(shape).sum(0) / counts
        shares = np.where(valid[:, None], hits, 0).reshape(*shape, len(REPORTED_RANKS)).sum(0)
        return precision, shares / counts[:, None]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row of the measures, shares in [0, 1]."""
        row = {"mAP": self.mAP, "mINP": self.mINP}
        row |= {f"rank-{k}": self.rank(k) for k in REPORTED_RANKS}
        return [{**row, "queries": self.queries, "skipped": self.skipped}]

    def shares(self) -> tuple[str, ...]:
        """Return the measures, all but the counts."""
        return ("mAP", "mINP", *(f"rank-{k}" for k in REPORTED_RANKS))

    def per_query(self) -> Rows:
        """Return a table with a row for each query.

        ``average_precision`` and ``inverse_penalty`` are in [0, 1], ``first_match`` is the rank of
        the first correct match, from 1; all are None for a query that is skipped.
        """
        columns = (self.average_precision, self.inverse_penalty, self.first_match_rank + 1)
        names = ("average_precision", "inverse_penalty", "first_match")
        rows = []
        for n, image_id in enumerate(self.image_ids):
            values = [column[n].item() if self.valid[n] else None for column in columns]
            scores = dict(zip(names, values, strict=True))
            rows.append({"image_id": image_id, "pid": int(self.pids[n]), **scores})
        return Rows(f"scores of {len(rows)} queries", rows, names[:2])

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as plain numbers, as in results.json."""
        return {
            "mAP": self.mAP,
            "cmc": {str(k): self.rank(k) for k in REPORTED_RANKS},
            "mINP": self.mINP,
            "queries": self.queries,
            "skipped": self.skipped,
            "rerank": None,
        }

    def lines(self, ranks: Sequence[int] = REPORTED_RANKS) -> list[str]:
        """Return console lines in torchreid's form, with mINP and notes on skipped queries.

        Args:
            ranks: the ranks of the match curve to print.
        """
        lines = [f"mAP: {self.mAP:.1%}", f"mINP: {self.mINP:.1%}", "CMC curve"]
        lines += [f"Rank-{k:<3}: {self.rank(k):.1%}" for k in ranks]
        return [*lines, *self.notes()]

    def notes(self) -> list[str]:
        """Return console lines on another AP rule and on skipped queries."""
        lines = []
        if self.ap_rule != "standard":
            lines.append(f"AP rule: {self.ap_rule}")
        if self.skipped and self.galleries > 1:
            lines.append(f"Skipped: {self.skipped} times, a query has no match in a drawn gallery")
        elif self.skipped:
            lines.append(f"Skipped: {self.skipped} queries without a match under another camera")
        return lines


@dataclass(frozen=True)
class Scores:
    """Scores of a ranking, and of the re-ranked one if there is one."""

    plain: RetrievalResult
    reranked: RetrievalResult | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as in results.json."""
        facts = self.plain.to_dict()
        if self.reranked is not None:
            facts["rerank"] = {k: v for k, v in self.reranked.to_dict().items() if k in _RERANKED}
        return facts


def _within(values: NDArray[Any]) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())
