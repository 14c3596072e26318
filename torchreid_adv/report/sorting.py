"""The one script that pages have: tables whose heads sort them, allowed by its hash alone."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from markupsafe import Markup

from torchreid_adv.report.words import DASH, number, percent


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
