"""Results that are tables, too: shown in a notebook, as a data frame, as CSV, as LaTeX."""

from __future__ import annotations

import base64
import csv
import html
import importlib
import io
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

from torchreid_adv.core.files import write_text
from torchreid_adv.errors import ConfigError, printable, suggest

SHOWN = 20  # rows that a notebook shows
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}
_CELL = 'style="text-align:right;padding:2px 8px"'


class Tabular(ABC):
    """A result with rows."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """Return the rows, column -> text or number; None where there is no value."""

    def shares(self) -> tuple[str, ...]:
        """Return the columns that are shares of [0, 1].

        Texts show them in percent, data frames and CSV files as shares.
        """
        return ()

    def pictures(self) -> Mapping[str, bytes]:
        """Return what a notebook shows below the table: caption -> PNG file."""
        return {}

    def columns(self) -> list[str]:
        """Return the columns of all rows, in the order in which they appear."""
        return list(dict.fromkeys(name for row in self.rows() for name in row))

    def to_frame(self) -> Any:
        """Return a pandas DataFrame.

        Raises:
            ConfigError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ModuleNotFoundError as error:
            raise ConfigError(
                "to_frame needs the package 'pandas'; pip install pandas, or use to_csv"
            ) from error
        return pandas.DataFrame(self.rows(), columns=self.columns())

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return the table as CSV, and write it to a file where one is named."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        if path is not None:
            write_text(Path(path), text.getvalue())
        return text.getvalue()

    def to_latex(
        self, path: str | Path | None = None, *, columns: Sequence[str] | None = None
    ) -> str:
        """Return the table as a LaTeX tabular with booktabs rules, shares in percent.

        Args:
            path: file to write it to, too.
            columns: those to show, in this order; None = all.

        Raises:
            ConfigError: a column that the table does not have.
        """
        shown = list(self.columns() if columns is None else columns)
        for name in shown:
            if name not in self.columns():
                raise ConfigError(
                    f"there is no column '{name}'{suggest(name, self.columns())}; the columns are "
                    f"{', '.join(self.columns())}"
                )
        rows = self.rows()
        numeric = [all(_is_number(row.get(name)) for row in rows) for name in shown]
        lines = [
            f"\\begin{{tabular}}{{{''.join('r' if is_number else 'l' for is_number in numeric)}}}"
        ]
        lines += ["\\toprule", self._line(map(str, shown)), "\\midrule"]
        lines += [self._line(self._text(row, name) for name in shown) for row in rows]
        text = "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])
        if path is not None:
            write_text(Path(path), text)
        return text

    def _line(self, cells: Iterator[str]) -> str:
        escaped = ("".join(_LATEX.get(c, c) for c in printable(cell)) for cell in cells)
        return f"{' & '.join(escaped)} \\\\"

    def _text(self, row: Mapping[str, Any], name: str) -> str:
        """Return a cell as it is read."""
        value = row.get(name)
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return ""
        if isinstance(value, float):
            return f"{100 * value:.1f}%" if name in self.shares() else f"{value:.4g}"
        return str(value)

    def _repr_html_(self) -> str:
        """Return the table and its pictures for a notebook; no script, every name escaped."""
        rows, names = self.rows(), self.columns()
        head = "".join(f"<th {_CELL}>{_escaped(name)}</th>" for name in names)
        body = "".join(
            f"<tr>{''.join(f'<td {_CELL}>{_escaped(self._text(r, n))}</td>' for n in names)}</tr>"
            for r in rows[:SHOWN]
        )
        more = f"<p>{len(rows) - SHOWN} more rows</p>" if len(rows) > SHOWN else ""
        pictures = "".join(
            f'<figure style="margin:8px 0"><img style="max-width:100%" alt="{_escaped(caption)}" '
            f'src="data:image/png;base64,{base64.b64encode(content).decode("ascii")}">'
            f"<figcaption>{_escaped(caption)}</figcaption></figure>"
            for caption, content in self.pictures().items()
        )
        return (
            f"<div><p><code>{_escaped(repr(self))}</code></p><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>{more}{pictures}</div>"
        )


@dataclass(frozen=True)
class Rows(Tabular):
    """A table of rows.

    Args:
        name: what the table shows.
        content: the rows.
        rates: columns that are shares of [0, 1].
    """

    name: str
    content: Sequence[Mapping[str, Any]] = field(repr=False)
    rates: tuple[str, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"{self.name}: {len(self.content)} rows of {', '.join(self.columns())}"

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows."""
        return [dict(row) for row in self.content]

    def shares(self) -> tuple[str, ...]:
        """Return the columns that are shares of [0, 1]."""
        return self.rates


R = TypeVar("R", bound=Tabular)


@dataclass(frozen=True)
class ResultList(Tabular, Sequence[R]):
    """Results of several models or data sets, in the order in which they were computed."""

    results: tuple[R, ...]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'; '.join(map(repr, self.results))})"

    @overload
    def __getitem__(self, place: int) -> R: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[R]: ...

    def __getitem__(self, place: Any) -> Any:
        return self.results[place]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[R]:
        return iter(self.results)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of all results."""
        return [row for result in self.results for row in result.rows()]

    def shares(self) -> tuple[str, ...]:
        """Return the columns that are shares of [0, 1]; () without a result."""
        return self.results[0].shares() if self.results else ()


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _escaped(text: str) -> str:
    return html.escape(printable(text))
