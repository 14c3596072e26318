"""The four scenarios of a universal attack: tables, JSON and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import write_text
from torchreid_adv.report.page import environment
from torchreid_adv.report.text import config_lines

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
class Outcome:
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


@dataclass(frozen=True)
class ScenarioTable:
    """One scenario, or the bounds.

    Args:
        title: what it is.
        head: of the first column.
        columns: further heads.
        rows: name and cells.
    """

    title: str
    head: str
    columns: list[str]
    rows: list[tuple[str, list[str]]]

    def markdown(self) -> str:
        """Return it as Markdown."""
        lines = [f"### {self.title}", "", f"| {self.head} | {' | '.join(self.columns)} |"]
        lines.append("|---" * (len(self.columns) + 1) + "|")
        lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in self.rows]
        return "\n".join(lines)


def tables(found: Sequence[Outcome], eps: float) -> list[ScenarioTable]:
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


def write_page(
    path: Path,
    facts: Mapping[str, Any],
    found: Sequence[ScenarioTable],
    pictures: Sequence[Picture],
    settings: Mapping[str, Any],
) -> Path:
    """Write the page, one file that needs nothing else, and return its path.

    Args:
        path: of the page.
        facts: ``models``, ``eps`` in gray levels, ``version``, ``schema``.
        found: the tables.
        pictures: the figures.
        settings: the config.
    """
    text = (
        environment()
        .get_template("scenarios.html")
        .render(
            facts={**facts, "legend": LEGEND},
            tables=found,
            pictures=pictures,
            config=config_lines(dict(settings)),
        )
    )
    write_text(path, text)
    return path


def markdown(found: Sequence[Outcome], eps: float) -> str:
    """Return all tables as Markdown."""
    return "\n\n".join([*(table.markdown() for table in tables(found, eps)), LEGEND])


def _scenario(title: str, own: Sequence[Outcome]) -> ScenarioTable:
    columns = list(dict.fromkeys(one.way for one in own))
    cells = {(one.row, one.way): one for one in own}
    rows = []
    for row in dict.fromkeys(one.row for one in own):
        clean = next(one.clean for one in own if one.row == row)
        shown = [_shown(cells.get((row, column))) for column in columns]
        rows.append((row, [_rates(clean), *shown]))
    return ScenarioTable(title, "model, data", ["none", *columns], rows)


def _bounds(own: Sequence[Outcome]) -> ScenarioTable:
    names = list(dict.fromkeys(f"{one.way}: {one.row}" for one in own))
    cells = {(one.eps, f"{one.way}: {one.row}"): one for one in own}
    bounds = sorted({one.eps for one in own})
    rows = [(f"eps {eps:g}", [_shown(cells.get((eps, name))) for name in names]) for eps in bounds]
    return ScenarioTable("The bound, gray levels", "bound", names, rows)


def _shown(one: Outcome | None) -> str:
    return "" if one is None else _rates(one.adversarial)


def _rates(measures: dict[str, Any]) -> str:
    return f"{100 * measures['mAP']:.1f}/{100 * measures['cmc']['1']:.1f}"
