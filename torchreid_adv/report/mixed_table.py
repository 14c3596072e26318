"""A table of results as data, written to a terminal, Markdown, JSON, or a page."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import write_text
from torchreid_adv.errors import ConfigError, printable
from torchreid_adv.report.page import Page, Section
from torchreid_adv.report.table import Cell, ResultTable, TableRow, markdown_table
from torchreid_adv.report.text import number, percent
from torchreid_adv.report.units import DASH

Value = str | float | int | None
SUFFIXES = (".md", ".html", ".json")
_GAP = 2  # columns between two cells on a terminal


@dataclass(frozen=True, kw_only=True)
class MixedTable:
    """Rows of several units under headings; the first cell of a row names it.

    Args:
        title: what it shows.
        columns: headings, including that of the first column.
        rows: one value per column; None where there is no value.
        rates: names of rows whose numbers are shares in [0, 1], which texts show in percent.
        notes: sentences below the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    rates: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def text(self, row: tuple[Value, ...], place: int) -> str:
        """Return a cell as text."""
        value = row[place]
        if value is None:
            return DASH
        if isinstance(value, str):
            return printable(value)
        return percent(value) if row[0] in self.rates else number(value)

    def _cells(self) -> list[list[str]]:
        return [[self.text(row, n) for n in range(len(self.columns))] for row in self.rows]

    def console(self, width: int = 80) -> str:
        """Return it for a terminal; columns that do not fit are in further tables below.

        Args:
            width: of the terminal, in characters.
        """
        lines = [list(map(printable, self.columns)), *self._cells()]
        widths = [max(len(line[n]) for line in lines) for n in range(len(self.columns))]
        parts = ["\n".join(_aligned(lines, widths, part)) for part in _fitting(widths, width)]
        notes = [textwrap.fill(printable(note), width) for note in self.notes]
        return "\n\n".join([printable(self.title), *parts, *notes])

    def markdown(self) -> str:
        """Return it as Markdown."""
        columns, *rows = [[*map(_plain, line)] for line in (self.columns, *self._cells())]
        table = markdown_table(columns, rows)
        return "\n\n".join([f"# {_plain(self.title)}", table, *map(_plain, self.notes)]) + "\n"

    def facts(self) -> dict[str, Any]:
        """Return it as plain values; rates are in [0, 1]."""
        named = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": named, "notes": list(self.notes)}

    def page(self) -> str:
        """Return it as a self-contained page."""
        rows = [
            TableRow(
                texts[0],
                [
                    Cell(text, "" if value is None else value)
                    for text, value in zip(texts[1:], row[1:], strict=True)
                ],
            )
            for texts, row in zip(self._cells(), self.rows, strict=True)
        ]
        head, *columns = self.columns
        table = ResultTable(self.title, columns, rows, head=head, sortable=True)
        return Page(self.title, sections=[Section("", self.notes, [table])]).render()

    def write(self, out: Path, name: str) -> list[Path]:
        """Write it and return the files.

        Args:
            out: a file, whose suffix selects the format, or a folder for all formats.
            name: of the files in a folder, without suffix.

        Raises:
            ConfigError: a file of another suffix.
        """
        if out.suffix and out.suffix not in SUFFIXES and not out.is_dir():
            raise ConfigError(
                f"'{out}' is not a file of a table; give a name that ends with "
                f"{' or '.join(SUFFIXES)}, or a folder"
            )
        files = [out] if out.suffix in SUFFIXES else [out / f"{name}{end}" for end in SUFFIXES]
        forms = {".md": self.markdown, ".html": self.page, ".json": self._json}
        for file in files:
            write_text(file, forms[file.suffix]())
        return files

    def _json(self) -> str:
        return json.dumps(self.facts(), indent=1) + "\n"


def _fitting(widths: list[int], width: int) -> list[list[int]]:
    """Return the columns of each table that fits: the first column and some others."""
    parts: list[list[int]] = [[]]
    room = width - widths[0]
    for column, wide in enumerate(widths[1:], start=1):
        if parts[-1] and room < wide + _GAP:
            parts.append([])
            room = width - widths[0]
        parts[-1].append(column)
        room -= wide + _GAP
    return [[0, *part] for part in parts]


def _aligned(lines: list[list[str]], widths: list[int], columns: list[int]) -> list[str]:
    """Return lines whose first cell is flush left and whose others are flush right."""
    gap = " " * _GAP
    first, *others = columns
    return [
        gap.join([f"{line[first]:<{widths[first]}}", *(f"{line[n]:>{widths[n]}}" for n in others)])
        for line in lines
    ]


def _plain(text: str) -> str:
    """Return a text with the characters escaped that Markdown would interpret."""
    return re.sub(r"[\\|<*\[`]|(?<!\w)_|_(?!\w)", r"\\\g<0>", printable(text))
