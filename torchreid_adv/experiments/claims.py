"""The findings of studies: claims with the cases for or against them, and readings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torchreid_adv.report.paper_table import PaperTable, paper_table
from torchreid_adv.report.table import Cell, ResultTable, TableRow

MARGIN = 0.01  # one point of mAP


class PrintedCells:
    """The cells of a paper's table, selected by their fields.

    Args:
        table: from the package.
    """

    def __init__(self, table: PaperTable) -> None:
        self.table = table

    def __call__(self, measure: str = "mAP", *, white: bool | None = None, **where: Any) -> float:
        """Return the mean of all matching cells, in [0, 1] where the paper prints percent.

        Args:
            measure: read from each cell.
            white: True = attacked and tested are the same network, False = they are not.
            where: field -> value, or a tuple of values; ``target`` is market1501 if not given.

        Raises:
            LookupError: no cell matches.
        """
        where = {"target": "market1501", **where}
        values = [cell[measure] for cell in self.table.cells if _matches(cell, where, white)]
        if not values:
            raise LookupError(f"{self.table.name} has no cell of {where}")
        return statistics.fmean(values) / (100 if self.table.unit == "percent" else 1)


def _matches(cell: dict[str, Any], where: dict[str, Any], white: bool | None) -> bool:
    if white is not None and (cell["attacked"] == cell["tested"]) is not white:
        return False
    allowed = {k: v if isinstance(v, tuple) else (v,) for k, v in where.items()}
    return all(cell.get(field) in values for field, values in allowed.items())


@dataclass(frozen=True)
class Printed:
    """An effect as a paper prints it: differences of cells of its tables.

    Args:
        tables: where it is printed, such as ``bai2019.table2``.
        of: takes :class:`PrintedCells` of each table and returns the effect, in [-1, 1].
        note: what differs from the effect that is measured here, such as re-ranking.
    """

    tables: tuple[str, ...]
    of: Callable[..., float]
    note: str = ""

    @property
    def effect(self) -> float:
        """The effect, in [-1, 1]; positive is as claimed."""
        return self.of(*(PrintedCells(paper_table(name)) for name in self.tables))

    @property
    def place(self) -> str:
        """Where it is printed."""
        return ", ".join([*self.tables, *filter(None, [self.note])])


@dataclass(frozen=True)
class Claim:
    """A paper's claim about its method, or a further question about the method.

    A claim always says that one value is smaller than another; the effect is their difference.

    Args:
        sentence: the claim; no two claims of a study share it.
        rests_on: beginnings of calibration questions, such as ``gray-box``. Networks that fail one
            of them cannot decide the claim.
        paper: the effect in the paper, None if none is printed.
        margin: effects within -margin to margin count as none, in [0, 1].
        floor: mAP in [0, 1] that the larger of the two values needs on average, so that the network
            has enough mAP to lose.
    """

    sentence: str
    rests_on: tuple[str, ...]
    paper: Printed | None = None
    margin: float = MARGIN
    floor: float = 0.0


@dataclass(frozen=True)
class Case:
    """One case of a claim, in one run of a study.

    Args:
        claim: that it belongs to.
        name: of the comparison, such as a network's label.
        seed: of the training.
        smaller: the value that the claim says is smaller, [0, 1]; NaN if missing.
        larger: the value it is compared with, [0, 1]; NaN if missing.
        order: number of the seed's batch order.
    """

    claim: Claim
    name: str
    seed: int
    smaller: float
    larger: float
    order: int = 0

    @property
    def effect(self) -> float:
        """Larger minus smaller value; NaN if one is missing."""
        return self.larger - self.smaller if self.is_defined else math.nan

    @property
    def is_defined(self) -> bool:
        """Whether both values are present."""
        return math.isfinite(self.smaller) and math.isfinite(self.larger)


Line = tuple[Claim, str, float, float]  # claim, case, the value that should be smaller, the other


def cases_of(lines: Iterable[Line], seed: int, prefix: str = "") -> list[Case]:
    """Return the cases of one run.

    Args:
        lines: the comparisons.
        seed: of the training.
        prefix: of the cases' names.
    """
    return [Case(claim, f"{prefix}{name}", seed, less, more) for claim, name, less, more in lines]


FACTORS = {"percent": (100.0, 1), "number": (1.0, 2)}


@dataclass(frozen=True)
class Reading:
    """One value of one run.

    Args:
        table: title of its table.
        row: label.
        column: label.
        seed: of the training.
        value: a share in [0, 1] for ``percent``, else a plain number.
        unit: ``percent`` or ``number``, the same in a whole table.
        order: number of the seed's batch order.
    """

    table: str
    row: str
    column: str
    seed: int
    value: float
    unit: str = "percent"
    order: int = 0


def spread(values: Sequence[float], *, factor: float = 100, digits: int = 1) -> str:
    """Return the mean and, for several values, the standard deviation: ``12.3 ± 1.0``.

    Args:
        values: one per run; NaN for a run without one.
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


def readings_tables(readings: Sequence[Reading]) -> list[ResultTable]:
    """Return the tables in order of appearance; cells are mean ± standard deviation over runs."""
    titles = dict.fromkeys(reading.table for reading in readings)
    return [
        _table(title, [reading for reading in readings if reading.table == title])
        for title in titles
    ]


def readings_table(readings: Sequence[Reading]) -> str:
    """Return the tables of :func:`readings_tables` as Markdown."""
    return "\n\n".join(table.markdown() for table in readings_tables(readings))


def _table(title: str, readings: Sequence[Reading]) -> ResultTable:
    rows = dict.fromkeys(reading.row for reading in readings)
    columns = list(dict.fromkeys(reading.column for reading in readings))
    unit = ", percent" if readings[0].unit == "percent" else ""
    lines = []
    for row in rows:
        in_row = [reading for reading in readings if reading.row == row]
        lines.append(
            TableRow(row, [_cell([r for r in in_row if r.column == name]) for name in columns])
        )
    return ResultTable(f"{title}{unit}", columns, lines)


def _cell(readings: Sequence[Reading]) -> Cell:
    if not readings:
        return Cell("", "")
    values = [reading.value for reading in readings if math.isfinite(reading.value)]
    factor, digits = FACTORS[readings[0].unit]
    return Cell(
        spread(values, factor=factor, digits=digits), statistics.fmean(values) if values else ""
    )
