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
    "cross-dataset": "Cross-data-set: queries of another data set, the same network trained there",
    "cross-model-dataset": "Cross-model and data set: queries of another data set, another model",
}
LEGEND = (
    "mAP/Rank-1 in percent, lower = stronger attack. The "
    "tested model is trained on the data set whose queries are attacked; no test image was used "
    "for learning."
)


@dataclass(frozen=True)
class ScenarioCell:
    """One attack on one model's queries.

    Args:
        scenario: one of ``SCENARIOS``.
        way: how the attack was learned.
        eps: bound, gray levels.
        learned: the model it was learned against, and the data.
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
        """Name of the row it stands in."""
        pairs = zip(self.learned, self.tested, strict=True)
        return ", ".join(a if a == b else f"{a} → {b}" for a, b in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def scenario_of(learned: tuple[str, str], tested: tuple[str, str]) -> str:
    """Return which scenario two pairs (model, data) are."""
    model, data = (a == b for a, b in zip(learned, tested, strict=True))
    names = list(SCENARIOS)
    return names[(not model) + 2 * (not data)]


def tables(found: Sequence[ScenarioCell], eps: float) -> list[ResultTable]:
    """Lay out a table per scenario at the main bound and, of several bounds, one of them.

    Args:
        found: all outcomes.
        eps: the main bound, gray levels.
    """
    main = [one for one in found if one.eps == eps]
    made = [
        _scenario(title, [one for one in main if one.scenario == name])
        for name, title in SCENARIOS.items()
        if any(one.scenario == name for one in main)
    ]
    further = {(one.way, one.learned) for one in found if one.eps != eps}
    bounds = [one for one in found if (one.way, one.learned) in further]
    return [*made, _bounds(bounds)] if bounds else made


@dataclass(frozen=True)
class Picture:
    """A figure of the page: title, what it shows, PNG file."""

    title: str
    sentence: str
    content: bytes


def scenarios_page(
    facts: Mapping[str, Any],
    found: Sequence[ResultTable],
    pictures: Sequence[Picture],
    settings: Mapping[str, Any],
) -> Page:
    """Return the page of the scenarios.

    Args:
        facts: ``models``, ``eps`` in gray levels, ``version``, ``schema``.
        found: the tables.
        pictures: the figures.
        settings: the config.
    """
    shown = [
        Section(
            one.title,
            [one.sentence],
            figures={f"picture_{number}": PageFigure(one.content, one.title, wide=True)},
        )
        for number, one in enumerate(pictures, start=1)
    ]
    return Page(
        title=f"Universal attacks on {', '.join(facts['models'])}",
        kicker=f"One perturbation for all images, at most {levels(facts['eps'])}",
        lead=[LEGEND],
        sections=[*(Section(table.title, tables=[table]) for table in found), *shown],
        config=settings,
        provenance=provenance().facts(),
        written_by=f"torchreid_adv {facts['version']}, schema {facts['schema']}",
    )


def markdown(found: Sequence[ScenarioCell], eps: float) -> str:
    """Return all tables as Markdown."""
    return "\n\n".join([*(table.markdown() for table in tables(found, eps)), LEGEND])


def _scenario(title: str, own: Sequence[ScenarioCell]) -> ResultTable:
    columns = list(dict.fromkeys(one.way for one in own))
    cells = {(one.row, one.way): one for one in own}
    rows = []
    for row in dict.fromkeys(one.row for one in own):
        clean = next(one.clean for one in own if one.row == row)
        shown = [_shown(cells.get((row, column))) for column in columns]
        rows.append(TableRow(row, [_rates(clean), *shown]))
    return ResultTable(title, ["none", *columns], rows, head="model, data")


def _bounds(own: Sequence[ScenarioCell]) -> ResultTable:
    names = list(dict.fromkeys(f"{one.way}: {one.row}" for one in own))
    cells = {(one.eps, f"{one.way}: {one.row}"): one for one in own}
    bounds = sorted({one.eps for one in own})
    rows = [
        TableRow(f"eps {eps:g}", [_shown(cells.get((eps, name))) for name in names])
        for eps in bounds
    ]
    return ResultTable("The bound, gray levels", names, rows, head="bound")


def _shown(one: ScenarioCell | None) -> Cell:
    return Cell("", "") if one is None else _rates(one.adversarial)


def _rates(measures: dict[str, Any]) -> Cell:
    first, mean = measures["cmc"]["1"], measures["mAP"]
    return Cell("/".join(percent(rate).removesuffix("%") for rate in (mean, first)), mean)
