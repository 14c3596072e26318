"""The tables of a card: every measure, and how identities differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torchreid_adv.experiments.card.comparing import differences_between
from torchreid_adv.experiments.card.content import label_of
from torchreid_adv.experiments.card.measures import Measure, measures_of
from torchreid_adv.experiments.card.numbers import CONDITIONS
from torchreid_adv.report.table import Cell, ResultTable, TableRow, Value, rate
from torchreid_adv.report.units import DASH
from torchreid_adv.standard.page_tables import span

Content = Mapping[str, Any]


def overview_table(card: Content, reference: Content | None) -> ResultTable:
    """Return every measure with interval, Rank-1 and loss; with a reference, its values, too."""
    clean = card["numbers"]["clean"]["mAP"]
    columns = ["mAP", "95 % interval", "Rank-1", "lost of clean mAP"]
    beside: dict[str, tuple[Measure, Mapping[str, Any] | None]] = {}
    if reference is not None:
        between = differences_between(reference, card)
        beside = {m.name: (m, between.get(m.name)) for m in measures_of(reference["numbers"])}
        columns += [f"{label_of(reference)}, mAP", "difference", "95 % interval"]
    rows = [
        TableRow(
            measure.name,
            [*_measure_row(measure, clean), *_beside(beside, measure.name)],
            measure.note,
        )
        for measure in measures_of(card["numbers"])
    ]
    note = (
        "Corruptions are drawn and attacks are searched for, so the two are never averaged. The "
        "worst kind and family are those with the lowest mean; their intervals do not allow for "
        "the choice."
    )
    return ResultTable("Measures", columns, rows, note=note)


def _measure_row(measure: Measure, clean: float) -> list[Value]:
    lost = None if measure.kind == "clean" else clean - measure.value
    return [
        rate(measure.value, strong=True),
        interval_cell(measure.interval),
        rate(measure.rank1),
        rate(lost),
    ]


def _beside(
    beside: Mapping[str, tuple[Measure, Mapping[str, Any] | None]], name: str
) -> list[Value]:
    if not beside:
        return []
    if name not in beside:
        return [rate(None), points(None), interval_cell(None)]
    measure, between = beside[name]
    if between is None:
        return [rate(measure.value), points(None), interval_cell(None)]
    return [rate(measure.value), points(between["mAP"]), points_interval(between["interval"])]


def interval_cell(interval: Sequence[float] | None) -> Cell:
    """Return the cell of an interval of rates."""
    return Cell(span(interval), "" if interval is None else interval[0])


def points(value: float | None) -> Cell:
    """Return the cell of a difference of rates, in points with its sign."""
    if value is None:
        return Cell(DASH, "")
    text = f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")
    return Cell(text, value)


def points_interval(interval: Sequence[float]) -> Cell:
    """Return the cell of the interval of a difference."""
    low, high = (points(end).text for end in interval)
    return Cell(f"{low} to {high}", interval[0])


def people_table(numbers: Content) -> ResultTable:
    """Return how identities differ in each condition."""
    rows = []
    for name in CONDITIONS:
        spread = numbers["people"][name]
        cells: list[Value] = []
        for measure in ("worst_tenth", "deviation", "lost"):
            cells += [rate(spread[measure]), interval_cell(spread[f"{measure}_interval"])]
        rows.append(TableRow(name, cells))
    bands = (("Worst tenth", 2), ("Deviation over identities", 2), ("Not found", 2))
    columns = ["mean", "95 % interval", "points", "95 % interval", "share", "95 % interval"]
    return ResultTable("Spread over identities", columns, rows, bands=[("", 1), *bands])
