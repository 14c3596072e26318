"""Tables as data, the measures of a run as a table, and the script that sorts tables."""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from markupsafe import Markup

from torchreid_adv.report.text import number, percent
from torchreid_adv.report.units import DASH, PERCENT, Unit

COLUMNS = ("mAP", "mINP", "Rank-1", "Rank-5", "Rank-10", "Rank-20")


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        text: shown to the reader.
        value: the sort key; None = its text, "" = always last.
        note: in small letters after the text.
        strong: the most important number of its row.
    """

    text: str
    value: float | str | None = None
    note: str = ""
    strong: bool = False

    @property
    def is_word(self) -> bool:
        """Whether it is words, not a number."""
        return self.value is None


def rate(value: float | None, note: str = "", *, strong: bool = False) -> Cell:
    """Return the cell of a rate of [0, 1]; one without a value is a dash and stays last."""
    return Cell(percent(value), "" if value is None else value, note, strong)


def count(value: int | None) -> Cell:
    """Return the cell of a whole number; one without a value is a dash and stays last."""
    return Cell(DASH, "") if value is None else Cell(number(value), value)


Value = Cell | str | float | None


@dataclass(frozen=True)
class TableRow:
    """A row of a table.

    Args:
        name: its heading.
        values: in the order of the columns: numbers in the table's unit, words, cells.
        note: in small letters after the name.
        group: heading that it shares with its neighbors; "" = none.
    """

    name: str
    values: Sequence[Value]
    note: str = ""
    group: str = ""


@dataclass(frozen=True)
class ResultTable:
    """A table as data, which pages, Markdown and JSON are written from.

    Args:
        title: what it shows.
        columns: headings, without that of the rows' names.
        rows: each with one value per column.
        head: heading of the rows' names.
        unit: of the numbers.
        note: a sentence below it.
        notes: group of rows -> a sentence below that group.
        bands: headings above the columns: (heading, how many columns); empty = none.
        sortable: whether clicking a heading sorts it.

    Raises:
        ValueError: a row of another length.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[TableRow]
    head: str = ""
    unit: Unit = PERCENT
    note: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    bands: Sequence[tuple[str, int]] = ()
    sortable: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.values) != len(self.columns):
                raise ValueError(
                    f"the table '{self.title}' has {len(self.columns)} columns, its row "
                    f"'{row.name}' has {len(row.values)} values"
                )

    def cells(self, row: TableRow) -> list[Cell]:
        """Return a row's values as cells."""
        return [self._cell(value) for value in row.values]

    def _cell(self, value: Value) -> Cell:
        if isinstance(value, Cell):
            return value
        if isinstance(value, str):
            return Cell(value)
        return Cell(self.unit.shown(value), "" if value is None else value)

    def words(self) -> list[bool]:
        """Return for each column whether it holds words, which are aligned left."""
        columns = zip(*(self.cells(row) for row in self.rows), strict=True)
        holds_words = [all(cell.is_word for cell in column) for column in columns]
        return holds_words or [False] * len(self.columns)

    def groups(self) -> list[tuple[str, list[TableRow]]]:
        """Return the rows by group, in their order."""
        pairs = itertools.groupby(self.rows, key=lambda row: row.group)
        return [(name, list(rows)) for name, rows in pairs]

    def markdown(self, level: int = 3) -> str:
        """Return it as Markdown, with strong cells in bold.

        Args:
            level: of its heading; 0 = none.
        """
        rows = [[row.name, *map(_bold, self.cells(row))] for row in self.rows]
        table = markdown_table([self.head, *self.columns], rows)
        parts = [f"{'#' * level} {self.title}" if level else "", table, self.note]
        return "\n\n".join(part for part in parts if part)


def _bold(cell: Cell) -> str:
    return f"**{cell.text}**" if cell.strong else cell.text


def measures(results: dict[str, Any]) -> ResultTable:
    """Lay out the measures of one data set.

    Args:
        results: ``results.json["targets"][name]``.
    """
    kinds = [
        ("clean", "no attack"),
        ("adversarial", "stored files"),
        ("adversarial_float", "before rounding to files"),
    ]
    measured = [(kind.split("_")[0], note, results.get(kind)) for kind, note in kinds]
    rows = [_row(*row, "Undefended") for row in measured]
    reranked = [(name, note, (scores or {}).get("rerank")) for name, note, scores in measured]
    rows += [_row(*row, "With re-ranking") for row in reranked if row[2]]
    notes = {}
    if results.get("defense"):
        behind = f"Behind {results['defense']['name']}"
        rows += _defense(results["defense"], behind)
        notes[behind] = _defense_note(results["defense"])
    return ResultTable("Measures", COLUMNS, rows, notes=notes)


def _defense(defense: dict[str, Any], group: str) -> list[TableRow]:
    return [
        _row("clean", "no attack", defense.get("clean"), group),
        _row("oblivious", "attack that does not know of it", defense.get("oblivious"), group),
        _row("adaptive", "attack made through it", defense.get("adaptive"), group),
    ]


def _defense_note(defense: dict[str, Any]) -> str:
    notes = [] if defense.get("adaptive") else [str(defense.get("adaptive_reason") or "")]
    if draws := defense.get("draws"):
        notes.append(
            f"{draws['n']} random draws: mAP deviates by {percent(draws['std'])}, "
            f"the worst is {percent(draws['worst'])}"
        )
    return "; ".join(note for note in notes if note)


def _row(name: str, note: str, scores: dict[str, Any] | None, group: str) -> TableRow:
    scores = scores or {}
    cmc = scores.get("cmc") or {}
    values = [scores.get("mAP"), scores.get("mINP"), *(cmc.get(k) for k in ("1", "5", "10", "20"))]
    return TableRow(name, values, note, group)


@dataclass(frozen=True)
class Sorting:
    """The script of a page with sortable tables.

    A template sets ``sortable`` before it includes ``page_head.html``, gives its tables the class
    ``sortable``, a ``thead`` whose last row has a cell for each column, and one ``tbody``, and
    includes ``sorting.html`` at the end of its body. Without scripts the tables are static.

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
    """Return the script as shipped; it never contains data of a run."""
    file = resources.files("torchreid_adv.report").joinpath("templates", "sorting.js")
    return Sorting(Markup(file.read_text("utf-8").replace("\r\n", "\n")))


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown, one line a row."""
    head, *lines = (f"| {' | '.join(line)} |" for line in [columns, *rows])
    return "\n".join([head, "|---" * len(columns) + "|", *lines])
