"""Verdicts on claims: the effect with its interval, the detectable effect, and a word."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torchreid_adv.experiments.calibrated import NOT_CALIBRATED, Calibrated
from torchreid_adv.experiments.claims import Case, Claim
from torchreid_adv.report.table import Cell, ResultTable, TableRow, markdown_table

HOLDS, OPPOSITE, NONE, OPEN = "holds", "opposite", "no effect", "cannot tell"
RUNS = 5  # needed to decide a claim
LEVEL, POWER = 0.95, 0.8
NOTE = (
    "An effect is a difference in points of mAP: the mean over the cases of a run, then over runs; "
    "positive is as claimed. If a claim names a limit, it is the distance from that limit. The "
    f"interval is Student's {100 * LEVEL:g} % interval over paired differences. 'Visible from' is "
    "the effect that this number of runs with this spread would detect with a probability of "
    f"{100 * POWER:g} %. An interval within the margin is 'no effect'."
)


@dataclass(frozen=True)
class Effect:
    """The effect of each run, and their statistics.

    Args:
        runs: one value per run, itself the mean over the run's cases: cases of a run share
            networks and are not independent.
    """

    runs: tuple[float, ...]

    @classmethod
    def of(cls, cases: Sequence[Case]) -> Effect:
        """Average the cases of one claim; a run with a case without a value is left out."""
        by_run: dict[tuple[int, int], list[float]] = {}
        for case in cases:
            by_run.setdefault((case.seed, case.order), []).append(case.effect)
        means = (statistics.fmean(by_run[run]) for run in sorted(by_run))
        return cls(tuple(mean for mean in means if math.isfinite(mean)))

    @property
    def mean(self) -> float:
        """Mean over runs; NaN without one."""
        return statistics.fmean(self.runs) if self.runs else math.nan

    @property
    def error(self) -> float:
        """Standard error of the mean; NaN with fewer than two runs."""
        if len(self.runs) < 2:
            return math.nan
        return statistics.stdev(self.runs) / math.sqrt(len(self.runs))

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of the 95 % interval of the mean; NaN with fewer than two runs."""
        reach = self._quantile(0.5 + LEVEL / 2) * self.error
        return self.mean - reach, self.mean + reach

    @property
    def visible(self) -> float:
        """The smallest effect that would have been detected with 80 % power.

        The sum of both quantiles of Student's distribution times the standard error, within 2 % of
        the exact value from five runs on.
        """
        return (self._quantile(0.5 + LEVEL / 2) + self._quantile(POWER)) * self.error

    def _quantile(self, probability: float) -> float:
        from scipy.stats import t  # slow to import, and seldom needed

        return float(t.ppf(probability, len(self.runs) - 1)) if len(self.runs) > 1 else math.nan


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim.

    Args:
        claim: the claim.
        effect: of the runs.
        word: ``holds``, ``opposite``, ``no effect`` or ``cannot tell``.
        reason: for ``cannot tell``, else "".
        seeds: number in the runs that have an effect.
        orders: number of their batch orders.
    """

    claim: Claim
    effect: Effect
    word: str
    reason: str = ""
    seeds: int = 0
    orders: int = 0

    @classmethod
    def of(
        cls, claim: Claim, cases: Sequence[Case], calibrated: Calibrated, unfinished: str = ""
    ) -> Verdict:
        """Decide a claim.

        Args:
            claim: to decide.
            cases: of this claim.
            calibrated: calibration of the networks.
            unfinished: why the study's runs are not complete, else "".
        """
        effect = Effect.of(cases)
        reason = unfinished or _objection(claim, cases, effect, calibrated)
        word = OPEN if reason else _word(effect.interval, claim.margin)
        if word == OPEN and not reason:
            reason = "the interval includes 0 and more than the margin"
        whole = [case for case in cases if case.is_defined]
        seeds, orders = {case.seed for case in whole}, {case.order for case in whole}
        return cls(claim, effect, word, reason, len(seeds), len(orders))

    @property
    def text(self) -> str:
        """The word, with the reason if there is one."""
        return f"{self.word}: {self.reason}" if self.reason else self.word

    @property
    def runs(self) -> str:
        """Number of deciding runs, with seeds and orders if there are several batch orders."""
        count = str(len(self.effect.runs))
        return count if self.orders < 2 else f"{count} ({self.seeds} seeds, {self.orders} orders)"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        low, high = self.effect.interval
        paper = self.claim.paper
        return {
            "claim": self.claim.sentence,
            "paper": paper and {"effect": paper.effect, "place": paper.place},
            "rests_on": list(self.claim.rests_on),
            "margin": self.claim.margin,
            "effects": list(self.effect.runs),
            "effect": self.effect.mean,
            "interval": [low, high],
            "visible": self.effect.visible,
            "verdict": self.word,
            "reason": self.reason,
        }


def _objection(claim: Claim, cases: Sequence[Case], effect: Effect, calibrated: Calibrated) -> str:
    """Return why a claim cannot be decided, "" if it can."""
    if not cases:
        return "not run"
    if len(effect.runs) < RUNS:
        count = len(effect.runs)
        return f"{count} run{'s' * (count != 1)} with a value, {RUNS} are needed"
    reached = max(
        statistics.fmean(value for value in values if math.isfinite(value))
        for values in ([case.smaller for case in cases], [case.larger for case in cases])
    )
    if reached < claim.floor:
        return f"networks reach {100 * reached:.1f} % mAP, {100 * claim.floor:g} % are needed"
    return calibrated.objection(claim.rests_on)


def _word(interval: tuple[float, float], margin: float) -> str:
    low, high = interval
    if -margin <= low and high <= margin:
        return NONE
    return HOLDS if low > 0 else OPPOSITE if high < 0 else OPEN


def verdicts(
    claims: Sequence[Claim],
    cases: Sequence[Case],
    calibrated: Calibrated = NOT_CALIBRATED,
    unfinished: str = "",
) -> list[Verdict]:
    """Return a verdict for each claim, in the order of the claims.

    Args:
        claims: of a study.
        cases: of the study; a claim without a case was not run.
        calibrated: calibration of the networks.
        unfinished: why the study's runs are not complete, else ""; then nothing is decided.
    """
    return [
        Verdict.of(claim, [case for case in cases if case.claim == claim], calibrated, unfinished)
        for claim in claims
    ]


_NOTHING = "-"  # a value that does not exist
COLUMNS = ("claim", "paper", "here", "visible from", "margin", "runs", "verdict")


def verdict_table(decided: Sequence[Verdict]) -> str:
    """Return the table of verdicts as Markdown; :data:`NOTE` explains it."""
    return markdown_table(COLUMNS, map(verdict_cells, decided))


def verdict_cells(verdict: Verdict) -> list[str]:
    """Return the texts of :data:`COLUMNS` for a verdict."""
    paper, measured = _paper(verdict), _points(verdict.effect.mean)
    return [
        verdict.claim.sentence,
        f"{paper} ({verdict.claim.paper.place})" if verdict.claim.paper else paper,
        f"{measured} ({_interval(verdict)})" if _interval(verdict) else measured,
        _visible(verdict),
        f"{100 * verdict.claim.margin:g}",
        verdict.runs,
        verdict.text,
    ]


def verdict_result(decided: Sequence[Verdict]) -> ResultTable:
    """Return the table of verdicts for a page, the verdict first."""
    columns = ("verdict", "effect here", "in the paper", "visible from", "margin", "runs")
    rows = [_row(verdict) for verdict in decided]
    return ResultTable("Verdicts", columns, rows, head="claim", note=NOTE)


def _row(verdict: Verdict) -> TableRow:
    claim, effect = verdict.claim, verdict.effect
    return TableRow(
        claim.sentence,
        [
            Cell(verdict.word, note=verdict.reason, strong=verdict.word != OPEN),
            Cell(_points(effect.mean), _key(effect.mean), _interval(verdict)),
            Cell(
                _paper(verdict),
                claim.paper.effect if claim.paper else "",
                claim.paper.place if claim.paper else "",
            ),
            Cell(_visible(verdict), _key(effect.visible)),
            Cell(f"{100 * claim.margin:g}", claim.margin),
            Cell(verdict.runs, len(effect.runs)),
        ],
    )


def _paper(verdict: Verdict) -> str:
    return _points(verdict.claim.paper.effect) if verdict.claim.paper else _NOTHING


def _interval(verdict: Verdict) -> str:
    """Return the interval in points, "" without one."""
    low, high = verdict.effect.interval
    return f"{_points(low)} to {_points(high)}" if math.isfinite(low) else ""


def _visible(verdict: Verdict) -> str:
    visible = verdict.effect.visible
    return f"{100 * visible:.1f}" if math.isfinite(visible) else _NOTHING


def _key(value: float) -> float | str:
    return value if math.isfinite(value) else ""


def _points(value: float) -> str:
    return f"{100 * value:+.1f}" if math.isfinite(value) else _NOTHING
