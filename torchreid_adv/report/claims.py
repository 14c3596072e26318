"""Claims held against figures: what was compared, for how many seeds it holds, mean and spread."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.jobs.files import write_text


@dataclass(frozen=True)
class Comparison:
    """One case of a claim: a figure that should not be larger than another one.

    Args:
        claim: the sentence it belongs to.
        case: what was compared, such as a model's label.
        seed: of the training.
        smaller: figure that the claim says is smaller, [0, 1].
        larger: figure it is held against, [0, 1].
    """

    claim: str
    case: str
    seed: int
    smaller: float
    larger: float

    @property
    def holds(self) -> bool:
        """Whether the first figure is no larger than the second."""
        return self.smaller <= self.larger


@dataclass(frozen=True)
class Verdict:
    """What all cases of a claim say together.

    Args:
        claim: the sentence.
        smaller: mean over the cases of each seed.
        larger: the same of the other figure.
        cases: how many were compared, all seeds together.
        held: in how many of them the claim holds.
    """

    claim: str
    smaller: tuple[float, ...]
    larger: tuple[float, ...]
    cases: int
    held: int

    @classmethod
    def of(cls, comparisons: Sequence[Comparison]) -> Verdict:
        """Sum up the comparisons of one claim."""
        seeds = sorted({c.seed for c in comparisons})
        own = {seed: [c for c in comparisons if c.seed == seed] for seed in seeds}
        return cls(
            comparisons[0].claim,
            tuple(statistics.fmean(c.smaller for c in own[seed]) for seed in seeds),
            tuple(statistics.fmean(c.larger for c in own[seed]) for seed in seeds),
            len(comparisons),
            sum(c.holds for c in comparisons),
        )

    @property
    def word(self) -> str:
        """``holds`` in every case; ``on average`` for every seed; ``mixed``; or ``does not``."""
        if self.held == self.cases:
            return "holds"
        seeds = [a <= b for a, b in zip(self.smaller, self.larger, strict=True)]
        if all(seeds):
            return "on average"
        return "mixed" if any(seeds) else "does not hold"


def verdicts(comparisons: Sequence[Comparison]) -> list[Verdict]:
    """Return a verdict for each claim, in order of appearance."""
    claims = dict.fromkeys(c.claim for c in comparisons)
    return [Verdict.of([c for c in comparisons if c.claim == claim]) for claim in claims]


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Return the table of verdicts; figures are mean and standard deviation over seeds, percent."""
    lines = ["| claim | smaller | larger | cases | verdict |", "|---|---|---|---|---|"]
    for verdict in verdicts(comparisons):
        figures = f"{spread(verdict.smaller)} | {spread(verdict.larger)}"
        held = f"{verdict.held} of {verdict.cases}"
        lines.append(f"| {verdict.claim} | {figures} | {held} | {verdict.word} |")
    return "\n".join(lines)


def spread(values: Sequence[float], *, factor: float = 100, digits: int = 1) -> str:
    """Return mean and, of several values, standard deviation: ``12.3 ± 1.0``.

    Args:
        values: one per seed.
        factor: 100 = in percent.
        digits: after the point.
    """
    mean = f"{factor * statistics.fmean(values):.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {factor * statistics.stdev(values):.{digits}f}"


def write_claims(
    folder: Path, comparisons: Sequence[Comparison], facts: dict[str, Any], text: str
) -> Path:
    """Write ``study.json`` and ``study.md``; return the second."""
    content = {
        **facts,
        "verdicts": [{**asdict(v), "verdict": v.word} for v in verdicts(comparisons)],
        "comparisons": [asdict(c) for c in comparisons],
    }
    write_text(folder / "study.json", json.dumps(content, indent=1) + "\n")
    path = folder / "study.md"
    write_text(path, text + "\n")
    return path
