"""Claims checked against results, and readings of all seeds: cases that hold, mean and spread."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import write_text

HOLDS, FAILS, TIES, UNDEFINED = "holds", "fails", "ties", "undefined"
TIE = 1e-9  # figures that are nearer than that differ by rounding only


@dataclass(frozen=True)
class Comparison:
    """One case of a claim: a figure that should be smaller than another one.

    Args:
        claim: the sentence it belongs to.
        case: what was compared, such as a model's label.
        seed: of the training.
        smaller: figure that the claim says is smaller, [0, 1]; NaN where there is none.
        larger: figure it is compared with, [0, 1]; NaN where there is none.
    """

    claim: str
    case: str
    seed: int
    smaller: float
    larger: float

    @property
    def outcome(self) -> str:
        """``holds``, ``fails``, ``ties``, or ``undefined`` where a figure is missing."""
        return _outcome(self.smaller, self.larger)

    @property
    def holds(self) -> bool:
        """Whether the first figure is smaller than the second."""
        return self.outcome == HOLDS


@dataclass(frozen=True)
class Verdict:
    """What all cases of a claim say together.

    Args:
        claim: the sentence.
        smaller: mean over the cases of each seed; NaN for a seed without defined cases.
        larger: the same of the other figure.
        cases: how many were compared, all seeds together.
        held: in how many of them the claim holds.
        ties: in how many the two figures are the same, which says nothing.
        undefined: in how many there is nothing to compare.
    """

    claim: str
    smaller: tuple[float, ...]
    larger: tuple[float, ...]
    cases: int
    held: int
    ties: int = 0
    undefined: int = 0

    @classmethod
    def of(cls, comparisons: Sequence[Comparison]) -> Verdict:
        """Sum up the comparisons of one claim, one or more."""
        outcomes = Counter(c.outcome for c in comparisons)
        by_seed: dict[int, list[Comparison]] = {c.seed: [] for c in comparisons}
        for comparison in comparisons:
            if comparison.outcome != UNDEFINED:
                by_seed[comparison.seed].append(comparison)
        seeds = [by_seed[seed] for seed in sorted(by_seed)]
        return cls(
            comparisons[0].claim,
            tuple(_mean([c.smaller for c in cases]) for cases in seeds),
            tuple(_mean([c.larger for c in cases]) for cases in seeds),
            len(comparisons),
            outcomes[HOLDS],
            outcomes[TIES],
            outcomes[UNDEFINED],
        )

    @property
    def word(self) -> str:
        """What is said of the claim.

        ``holds`` in every case; ``holds, with ties`` where the other cases are ties; ``tie`` where
        all are; ``on average`` for the mean of every seed; ``mixed``; ``does not hold``. Where any
        case is undefined it is ``undefined``, whatever the others say.
        """
        if self.undefined:
            return "undefined"
        if self.held + self.ties == self.cases:
            return "tie" if not self.held else "holds, with ties" if self.ties else "holds"
        seeds = [_outcome(a, b) for a, b in zip(self.smaller, self.larger, strict=True)]
        if set(seeds) == {HOLDS}:
            return "on average"
        return "mixed" if HOLDS in seeds else "does not hold"

    @property
    def count(self) -> str:
        """In how many cases the claim holds, in words."""
        said = [f"{self.held} of {self.cases}"]
        said += [
            f"{n} {word}" for n, word in ((self.ties, "tied"), (self.undefined, UNDEFINED)) if n
        ]
        return ", ".join(said)


def _outcome(smaller: float, larger: float) -> str:
    if not (math.isfinite(smaller) and math.isfinite(larger)):
        return UNDEFINED
    if math.isclose(smaller, larger, rel_tol=0, abs_tol=TIE):
        return TIES
    return HOLDS if smaller < larger else FAILS


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def verdicts(comparisons: Sequence[Comparison]) -> list[Verdict]:
    """Return a verdict for each claim, in order of appearance."""
    claims = dict.fromkeys(c.claim for c in comparisons)
    return [Verdict.of([c for c in comparisons if c.claim == claim]) for claim in claims]


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Return the table of verdicts; figures are mean and standard deviation over seeds, percent."""
    lines = ["| claim | smaller | larger | cases | verdict |", "|---|---|---|---|---|"]
    for verdict in verdicts(comparisons):
        figures = f"{spread(verdict.smaller)} | {spread(verdict.larger)}"
        lines.append(f"| {verdict.claim} | {figures} | {verdict.count} | {verdict.word} |")
    return "\n".join(lines)


def spread(values: Sequence[float], *, factor: float = 100, digits: int = 1) -> str:
    """Return mean and, of several values, standard deviation: ``12.3 ± 1.0``.

    Args:
        values: one per seed; NaN for a seed that has none.
        factor: 100 = in percent.
        digits: after the point.
    """
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return "-"
    mean = f"{factor * statistics.fmean(values):.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {factor * statistics.stdev(values):.{digits}f}"


def _without_nan(content: Any) -> Any:
    """Return plain values with None, which JSON has, in the place of NaN, which it has not."""
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def write_claims(
    folder: Path, comparisons: Sequence[Comparison], facts: dict[str, Any], text: str
) -> Path:
    """Write ``study.json`` and ``study.md``; return the second."""
    content = {
        **facts,
        "verdicts": [{**asdict(v), "verdict": v.word} for v in verdicts(comparisons)],
        "comparisons": [{**asdict(c), "outcome": c.outcome} for c in comparisons],
    }
    content = _without_nan(content)
    write_text(folder / "study.json", json.dumps(content, indent=1) + "\n")
    path = folder / "study.md"
    write_text(path, text + "\n")
    return path


FACTORS = {"percent": (100.0, 1), "number": (1.0, 2)}


@dataclass(frozen=True)
class Reading:
    """One figure of one seed.

    Args:
        table: title of the table it stands in.
        row: label.
        column: label.
        seed: of the training.
        value: a share in [0, 1] for ``percent``, else as it is.
        unit: ``percent`` or ``number``, the same in all of a table.
    """

    table: str
    row: str
    column: str
    seed: int
    value: float
    unit: str = "percent"


def readings_table(readings: Sequence[Reading]) -> str:
    """Return the tables in order of appearance; cells are mean ± standard deviation over seeds."""
    titles = dict.fromkeys(reading.table for reading in readings)
    return "\n\n".join(
        _table(title, [reading for reading in readings if reading.table == title])
        for title in titles
    )


def _table(title: str, readings: Sequence[Reading]) -> str:
    rows = dict.fromkeys(reading.row for reading in readings)
    columns = dict.fromkeys(reading.column for reading in readings)
    factor, digits = FACTORS[readings[0].unit]
    unit = ", percent" if readings[0].unit == "percent" else ""
    lines = [f"### {title}{unit}", "", f"|  | {' | '.join(columns)} |", "|---" * (len(columns) + 1)]
    lines[-1] += "|"
    for row in rows:
        cells = []
        for column in columns:
            values = [r.value for r in readings if (r.row, r.column) == (row, column)]
            cells.append(spread(values, factor=factor, digits=digits) if values else "")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)
