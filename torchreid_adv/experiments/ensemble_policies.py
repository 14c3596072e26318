"""Policies of an ensemble, replayed on its record: which attack runs how long on which query.

A policy sees only what it has paid for: the average precision at the places of the record that it
reached. It pays for every forward and backward pass, and for scoring a point where it decides by
its average precision.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.experiments.ensemble_record import (
    LONGEST,
    SCHEDULES,
    STEPS,
    EnsembleRecord,
    Place,
)
from torchreid_adv.standard.scores import BROKEN
from torchreid_adv.standard.versions import STANDARD_2

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Replay:
    """What a policy leaves of Q queries, and what it spent on them.

    Args:
        worst: (Q,) lowest average precision; NaN without a match.
        passes: (Q,) forward and backward passes.
    """

    worst: Floats
    passes: Floats

    def robust(self, rows: Mask) -> float:
        """Return the robust mAP of some queries."""
        return float(self.worst[rows].mean())

    def spent(self, rows: Mask) -> float:
        """Return the mean passes of some queries."""
        return float(self.passes[rows].mean())


Policy = Callable[[EnsembleRecord], Replay]


class Spending:
    """The state of a policy that is replayed: the lowest average precision, and passes so far."""

    def __init__(self, record: EnsembleRecord) -> None:
        self.record = record
        self.worst, self.passes = record.clean.copy(), np.zeros(len(record.clean))

    def reach(
        self, attack: str, place: Place, rows: Mask, *, since: Place | None = None, scored: int = 1
    ) -> Floats:
        """Run an attack on some queries up to a place, and return what it leaves of all (Q,).

        Args:
            attack: of the record.
            place: planned steps and steps done.
            rows: (Q,) the queries.
            since: a place that has been paid for; None = from the start.
            scored: points that are scored on the way.
        """
        paid = self.record.cost(attack, since) if since else 0.0
        self.passes[rows] += self.record.cost(attack, place) - paid + scored * self.record.scored
        left = np.where(rows, self.record.ap[attack][place], np.nan)
        self.worst = np.fmin(self.worst, left)
        return left

    def done(self) -> Replay:
        """Return the outcome."""
        return Replay(self.worst, self.passes)


def together(
    record: EnsembleRecord, *, attacks: Sequence[str] = (), steps: int = LONGEST
) -> Replay:
    """Run some attacks, or all, on every query for some steps of the longest schedule."""
    spending = Spending(record)
    for attack in attacks or record.ap:
        spending.reach(attack, (LONGEST, steps), record.valid)
    return spending.done()


def skipping(record: EnsembleRecord, *, attacks: Sequence[str] = ()) -> Replay:
    """Run attacks in an order; leave out queries at or below twice chance from then on."""
    spending = Spending(record)
    for attack in attacks or record.ap:
        rows = record.valid & (spending.worst > BROKEN * record.chance)
        spending.reach(attack, (LONGEST, LONGEST), rows)
    return spending.done()


def stopping(record: EnsembleRecord, *, fall: float) -> Replay:
    """Stop an attack on a query once its last stretch took less than ``fall`` average precision."""
    spending = Spending(record)
    for attack in record.ap:
        rows, before, since = record.valid, record.clean, None
        for steps in STEPS:
            left = spending.reach(attack, (LONGEST, steps), rows, since=since)
            since = (LONGEST, steps)
            rows = rows & ((before - left > fall) | (steps < STEPS[3]))
            before = left
    return spending.done()


def in_rounds(
    record: EnsembleRecord,
    *,
    rounds: Sequence[tuple[int, int]] = STANDARD_2.rounds,
    restart: bool = True,
) -> Replay:
    """Run all attacks for some steps, then each query's best ones for more.

    Args:
        record: to replay on.
        rounds: steps, and how many attacks of the last round each query has (0 = all).
        restart: every round starts over with its own schedule, as ``standard-2`` does; else it
            continues along the longest one.
    """
    spending, left = Spending(record), dict.fromkeys(record.ap, record.clean)
    reached: dict[str, Mask] = dict.fromkeys(record.ap, record.valid)
    since: Place | None = None
    for steps, attacks in rounds:
        going = _best(left, reached, attacks) if attacks else reached
        place = (steps, steps) if restart else (LONGEST, steps)
        left = {
            attack: spending.reach(attack, place, rows, since=None if restart else since)
            for attack, rows in going.items()
        }
        reached, since = going, place
    return spending.done()


def _best(left: Mapping[str, Floats], reached: Mapping[str, Mask], count: int) -> dict[str, Mask]:
    """Return attack -> (Q,) whether it is among a query's best, ties to the first."""
    names = list(left)
    values = np.stack([np.where(reached[name], left[name], np.inf) for name in names])
    order = np.argsort(np.nan_to_num(values, nan=np.inf), axis=0, kind="stable")[:count]
    return {
        name: (order == place).any(0) & np.isfinite(values[place])
        for place, name in enumerate(names)
    }


def budgeted(record: EnsembleRecord, *, share: float, first: int = 5) -> Replay:
    """Spend a share of the whole ensemble's passes where the fall per pass was largest lately.

    All attacks run for ``first`` steps on every query. Then the pair of query and attack continues
    whose last stretch lowered its own average precision most per pass; among equals, the query
    with the highest average precision.
    """
    spending, valid = Spending(record), record.valid
    limit = share * float(together(record).passes[valid].sum())
    pairs = _Pairs(record, spending, first)
    while float(spending.passes[valid].sum()) < limit and pairs.go_on():
        pass
    return spending.done()


class _Pairs:
    """Pairs of attack and query, each at its place of the longest schedule."""

    def __init__(self, record: EnsembleRecord, spending: Spending, first: int) -> None:
        self.record, self.spending, self.names = record, spending, list(record.ap)
        count = len(record.clean)
        for name in self.names:
            spending.reach(name, (LONGEST, first), record.valid)
        self.step = np.full((len(self.names), count), STEPS.index(first))
        self.gain = np.stack([self._gains(name, STEPS.index(first)) for name in self.names])
        self.gain[:, ~record.valid] = -np.inf

    def _gains(self, name: str, index: int) -> Floats:
        """Return the fall per pass (Q,) of an attack's stretch that ends at STEPS[index]."""
        before, after = (LONGEST, STEPS[index - 1]), (LONGEST, STEPS[index])
        precision = self.record.ap[name]
        paid = self.record.cost(name, after) - self.record.cost(name, before)
        return np.asarray((precision[before] - precision[after]) / paid)

    def go_on(self) -> bool:
        """Let the pair with the largest gain take its next stretch; False if none is left."""
        most = self.gain.max()
        if not np.isfinite(most):
            return False
        tied = np.where(self.gain == most, np.nan_to_num(self.spending.worst), -np.inf)
        row, query = np.unravel_index(int(tied.argmax()), tied.shape)
        index = int(self.step[row, query]) + 1
        if index >= len(STEPS):
            self.gain[row, query] = -np.inf
            return True
        rows = np.arange(self.gain.shape[1]) == query
        since, place = (LONGEST, STEPS[index - 1]), (LONGEST, STEPS[index])
        self.spending.reach(self.names[row], place, rows, since=since)
        self.step[row, query] = index
        self.gain[row, query] = self._gains(self.names[row], index)[query]
        return True


WHOLE, ROUNDS = "whole ensemble", "rounds of standard-2"
SKIP = "in order, skip at twice chance"


def policies(attacks: Iterable[str]) -> dict[str, Policy]:
    """Return the policies of the study for the attacks of a record: name -> policy."""
    names = list(attacks)
    known: dict[str, Policy] = {WHOLE: together}
    known |= {f"all, {steps} steps": _of(together, steps=steps) for steps in STEPS[1:-1]}
    known |= {f"{name} alone": _of(together, attacks=[name]) for name in names}
    known |= {
        f"without {name}": _of(together, attacks=[other for other in names if other != name])
        for name in names
        if len(names) > 1
    }
    known[SKIP] = skipping
    known["in reverse order, skip at twice chance"] = _of(skipping, attacks=names[::-1])
    known |= {
        f"stop below {100 * fall:g} points": _of(stopping, fall=fall) for fall in (0.0, 0.005, 0.02)
    }
    known[ROUNDS] = in_rounds
    known[f"{ROUNDS}, resumed"] = _of(in_rounds, restart=False)
    for second in (1, 3, 4):
        fewer = ((SCHEDULES[0], 0), (SCHEDULES[1], second), (SCHEDULES[2], max(1, second // 2)))
        known[f"rounds, {second} then {fewer[2][1]} kept"] = _of(in_rounds, rounds=fewer)
    for first in (3, 5, 8):
        spec = ((first, 0), (15, 2), (30, 2))
        known[f"rounds {first}, 15, 30, two kept, resumed"] = _of(
            in_rounds, rounds=spec, restart=False
        )
    known |= {
        f"by progress, {100 * share:g} % of passes": _of(budgeted, share=share)
        for share in (0.2, 0.3, 0.4)
    }
    return known


def _of(policy: Callable[..., Replay], **options: object) -> Policy:
    return functools.partial(policy, **options)
