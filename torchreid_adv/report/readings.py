"""Figures that a study reports beside its claims: tables of mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torchreid_adv.report.claims import spread

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


def markdown(readings: Sequence[Reading]) -> str:
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
