"""The four scenarios of a universal attack: tables, JSON and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torchreid_adv.core.provenance import provenance
from torchreid_adv.report.page import Page, PageFigure, Section
from torchreid_adv.report.table import Cell, ResultTable, TableRow
from torchreid_adv.report.text import levels, percent

SCENARIOS = {
    "source": "Source: queries of the training set's own test people, the model itself",
    "cross-model": "Cross-model: the same queries, another model trained on the same data",
    "cross-dataset": "Cross-data-set: queries of another data set, the same network trained on it",
    "cross-model-dataset": "Cross-model and data set: queries of another data set, another model",
}
LEGEND = (
    "mAP/Rank-1 in percent, lower = stronger attack. The "
    "tested model is trained on the data set whose queries are attacked; no test image was used "
    "to learn an attack."
)


@dataclass(frozen=True)
class ScenarioCell:
    """One attack on one model's queries.

    Args:
        scenario: one of ``SCENARIOS``.
        way: name of the attack's recipe.
        eps: bound, gray levels.
        learned: the model that the attack was learned against, and the data.
        tested: the model that ranks, and the data.
        clean: measures as in results.json.
        adversarial: the same under the attack.
    """

    scenario: str
    way: str
    eps: float
    learned: tuple[str, str]
    tested: tuple[str, str]
    clean: dict[str, Any]
    adversarial: dict[str, Any]

    @property
    def row(self) -> str:
        """Name of its row."""
        pairs = zip(self.learned, self.tested, strict=True)
        return ", ".join(a if a == b else f"{a} → {b}" for a, b in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def scenario_of(learned: tuple[str, str], tested: tuple[str, str]) -> str:
    """Return the scenario of two pairs (model, data)."""
    model, data = (a == b for a, b in zip(learned, tested, strict=True))
    names = list(SCENARIOS)
    return names[(not model) + 2 * (not data)]


def tables(cells: Sequence[ScenarioCell], eps: float) -> list[ResultTable]:
    """Return a table per scenario at the main bound and, with several bounds, a table of these.

    Args:
        cells: all outcomes.
        eps: the main bound, gray levels.
    """
    main = [cell for cell in cells if cell.eps == eps]
    main_tables = [
        _scenario(title, [cell for cell in main if cell.scenario == name])
        for name, title in SCENARIOS.items()
        if any(cell.scenario == name for cell in main)
    ]
    further = {(cell.way, cell.learned) for cell in cells if cell.eps != eps}
    bounds = [cell for cell in cells if (cell.way, cell.learned) in further]
    return [*main_tables, _bounds(bounds)] if bounds else main_tables


@dataclass(frozen=True)
class Picture:
    """A figure of the page: title, caption, PNG file."""

    title: str
    sentence: str
    content: bytes


def scenarios_page(
    facts: Mapping[str, Any],
    result_tables: Sequence[ResultTable],
    pictures: Sequence[Picture],
    settings: Mapping[str, Any],
) -> Page:
    """Return the page of the scenarios.

    Args:
        facts: ``models``, ``eps`` in gray levels, ``version``, ``schema``.
        result_tables: the tables.
        pictures: the figures.
        settings: the config.
    """
    shown = [
        Section(
            picture.title,
            [picture.sentence],
            figures={f"picture_{number}": PageFigure(picture.content, picture.title, wide=True)},
        )
        for number, picture in enumerate(pictures, start=1)
    ]
    return Page(
        title=f"Universal attacks on {', '.join(facts['models'])}",
        kicker=f"One perturbation for all images, at most {levels(facts['eps'])}",
        lead=[LEGEND],
        sections=[*(Section(table.title, tables=[table]) for table in result_tables), *shown],
        config=settings,
        provenance=provenance().facts(),
        written_by=f"torchreid_adv {facts['version']}, schema {facts['schema']}",
    )


def markdown(cells: Sequence[ScenarioCell], eps: float) -> str:
    """Return all tables as Markdown."""
    return "\n\n".join([*(table.markdown() for table in tables(cells, eps)), LEGEND])


def _scenario(title: str, outcomes: Sequence[ScenarioCell]) -> ResultTable:
    columns = list(dict.fromkeys(cell.way for cell in outcomes))
    cells = {(cell.row, cell.way): cell for cell in outcomes}
    rows = []
    for row in dict.fromkeys(cell.row for cell in outcomes):
        clean = next(cell.clean for cell in outcomes if cell.row == row)
        shown = [_shown(cells.get((row, column))) for column in columns]
        rows.append(TableRow(row, [_rates(clean), *shown]))
    return ResultTable(title, ["none", *columns], rows, head="model, data")


def _bounds(outcomes: Sequence[ScenarioCell]) -> ResultTable:
    names = list(dict.fromkeys(f"{cell.way}: {cell.row}" for cell in outcomes))
    cells = {(cell.eps, f"{cell.way}: {cell.row}"): cell for cell in outcomes}
    bounds = sorted({cell.eps for cell in outcomes})
    rows = [
        TableRow(f"eps {eps:g}", [_shown(cells.get((eps, name))) for name in names])
        for eps in bounds
    ]
    return ResultTable("The bound, gray levels", names, rows, head="bound")


def _shown(cell: ScenarioCell | None) -> Cell:
    return Cell("", "") if cell is None else _rates(cell.adversarial)


def _rates(measures: dict[str, Any]) -> Cell:
    first, mean = measures["cmc"]["1"], measures["mAP"]
    return Cell("/".join(percent(rate).removesuffix("%") for rate in (mean, first)), mean)
