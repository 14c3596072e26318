"""Tables of pages: measures by condition, and rows that a reader can sort."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from markupsafe import Markup

from torchreid_adv.report.text import DASH, number, percent

COLUMNS = ("mAP", "mINP", "Rank-1", "Rank-5", "Rank-10", "Rank-20")


@dataclass(frozen=True)
class Row:
    """One condition: its name, a word of explanation, its cells in the order of the columns."""

    name: str
    note: str
    cells: list[str]


@dataclass(frozen=True)
class Group:
    """Rows that belong together: the undefended model, re-ranking, a defense."""

    title: str
    rows: list[Row]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Column heads and groups of rows."""

    columns: tuple[str, ...]
    groups: list[Group]


def measures(results: dict[str, Any]) -> Table:
    """Lay out the measures of one data set.

    Args:
        results: ``results.json["targets"][name]``.
    """
    kinds = [
        ("clean", "no attack"),
        ("adversarial", "stored files"),
        ("adversarial_float", "before rounding to files"),
    ]
    rows = [(kind.split("_")[0], note, results.get(kind)) for kind, note in kinds]
    groups = [Group("Undefended", [_row(*row) for row in rows])]
    reranked = [(name, note, (found or {}).get("rerank")) for name, note, found in rows]
    if any(found for _, _, found in reranked):
        groups.append(Group("With re-ranking", [_row(*row) for row in reranked if row[2]]))
    if results.get("defense"):
        groups.append(_defense(results["defense"]))
    return Table(COLUMNS, groups)


def _defense(defense: dict[str, Any]) -> Group:
    rows = [
        _row("clean", "no attack", defense.get("clean")),
        _row("oblivious", "attack that does not know of it", defense.get("oblivious")),
        _row("adaptive", "attack made through it", defense.get("adaptive")),
    ]
    draws = defense.get("draws")
    notes = [] if defense.get("adaptive") else [str(defense.get("adaptive_reason") or "")]
    if draws:
        notes.append(
            f"{draws['n']} random draws: mAP deviates by {percent(draws['std'])}, "
            f"the worst is {percent(draws['worst'])}"
        )
    return Group(f"Behind {defense['name']}", rows, "; ".join(note for note in notes if note))


def _row(name: str, note: str, found: dict[str, Any] | None) -> Row:
    found = found or {}
    cmc = found.get("cmc") or {}
    values = [found.get("mAP"), found.get("mINP"), *(cmc.get(k) for k in ("1", "5", "10", "20"))]
    return Row(name, note, [percent(value) for value in values])


@dataclass(frozen=True)
class Cell:
    """A cell of a sortable table.

    Args:
        text: as it is read.
        value: by which it is sorted; None = its text, "" = always last.
        note: in small letters after the text.
    """

    text: str
    value: float | str | None = None
    note: str = ""


@dataclass(frozen=True)
class SortableTable:
    """Rows as the macro ``sortable`` of ``macros.html`` writes them; the first cell is the head.

    Args:
        columns: heads.
        rows: as long as there are columns, in the order in which they stand before any click.
        caption: what the table is of, for those who do not see the page.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str


def rate(value: float | None) -> Cell:
    """Return the cell of a rate of [0, 1]; one without a value is a dash and stays last."""
    return Cell(percent(value), "" if value is None else value)


def count(value: int | None) -> Cell:
    """Return the cell of a whole number; one without a value is a dash and stays last."""
    return Cell(DASH, "") if value is None else Cell(number(value), value)


@dataclass(frozen=True)
class Sorting:
    """What a page with sortable tables needs.

    A template sets ``sortable`` before it includes ``page_head.html``, gives its tables the class
    ``sortable``, a ``thead`` of one row and one ``tbody``, and includes ``sorting.html`` as the
    last of its body. Without scripts the tables stay as they are written.

    Args:
        script: text of ``sorting.js``.
    """

    script: Markup

    @property
    def hash(self) -> str:
        """The source expression of a content security policy that allows this script alone."""
        digest = hashlib.sha256(self.script.encode("utf-8")).digest()
        return f"sha256-{base64.b64encode(digest).decode('ascii')}"


@functools.cache
def sorting() -> Sorting:
    """Return the script as it is shipped; nothing of a run is ever part of it."""
    text = resources.files("torchreid_adv.report").joinpath("sorting.js").read_text("utf-8")
    return Sorting(Markup(text.replace("\r\n", "\n")))


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown, one line a row."""
    head, *rest = (f"| {' | '.join(line)} |" for line in [columns, *rows])
    return "\n".join([head, "|---" * len(columns) + "|", *rest])
