"""The page of a paper's table: our numbers, with the paper's below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from torchreid_adv.core.provenance import provenance
from torchreid_adv.experiments.comparison import (
    ComparedCell,
    Comparison,
    TableLayout,
    explanation,
    shown_numbers,
)
from torchreid_adv.report.matrix import KINDS
from torchreid_adv.report.page import Page, PageFigure, Section
from torchreid_adv.report.paper_table import PaperTable
from torchreid_adv.report.table import Cell, ResultTable, TableRow


def reproduction_page(
    comparison: Comparison, figures: Mapping[str, Figure], settings: Mapping[str, Any]
) -> Page:
    """Return the page of a reproduced table or figure.

    Args:
        comparison: our results and the paper's.
        figures: end of the file's name -> picture.
        settings: the config.
    """
    table = comparison.table
    drawn = {
        end: PageFigure(figure, f"{table.title}: {end.replace('_', ' ')}", wide=True)
        for end, figure in figures.items()
    }
    return Page(
        title=table.title,
        kicker=f"{table.name} · {table.paper}",
        lead=[_counts(comparison)],
        sections=[
            *(Section(shown.title, tables=[shown]) for shown in result_tables(comparison)),
            *([Section("Figures", figures=drawn)] if drawn else []),
            Section("How to read it", explanation(comparison, "Ours, below it the paper's")),
        ],
        config=dict(settings),
        provenance=provenance().facts(),
    )


def _counts(comparison: Comparison) -> str:
    """Say how many cells are ours, the paper's, and both."""
    entries = comparison.entries
    printed = sum(bool(entry.paper) for entry in entries)
    ours = [entry for entry in entries if entry.ours is not None]
    both = sum(bool(entry.paper) for entry in ours)
    cells = "1 cell is" if len(ours) == 1 else f"{len(ours)} cells are"
    is_or_are = "is" if both == 1 else "are"
    return f"{cells} ours, the paper prints {printed}, and {both} {is_or_are} in both."


def result_tables(comparison: Comparison) -> list[ResultTable]:
    """Return a table for each data set for a page: our numbers, with the paper's below."""
    return [_result_table(comparison, target) for target in comparison.targets]


def _result_table(comparison: Comparison, target: str) -> ResultTable:
    table = comparison.table
    layout = TableLayout.of(comparison.of(target), table)
    rows = [
        TableRow(row, [_page_cell(entry, name, table) for entry, name in layout.cells(row, table)])
        for row in layout.rows
    ]
    return ResultTable(target, layout.heads(table), rows, head=", ".join(table.rows))


def _page_cell(entry: ComparedCell | None, measure: str, table: PaperTable) -> Cell:
    if entry is None:
        return Cell("", "")
    ours, kind, printed = shown_numbers(entry, measure, table.unit)
    value = entry.ours.measures.get(measure, "") if entry.ours else ""
    return Cell(
        " ".join(filter(None, [ours, KINDS.get(kind, "")])),
        value,
        f"paper {printed}" if printed else "",
        strong=kind == "white",
    )
