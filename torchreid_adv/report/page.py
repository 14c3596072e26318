"""A page: a heading, sections of sentences, tables and figures, and their provenance."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from torchreid_adv.core.files import write_bytes, write_text
from torchreid_adv.errors import printable
from torchreid_adv.report import style, text
from torchreid_adv.report.cards import data_uri, png
from torchreid_adv.report.table import ResultTable, sorting
from torchreid_adv.version import __version__


@dataclass(frozen=True)
class PageFigure:
    """A figure of a page.

    Args:
        content: a drawing, or a PNG file if it is made of images.
        alt: description for readers who do not see it.
        caption: below it.
        wide: as wide as the page, not one of two in a row.
        photo: made of images, so shown as PNG.
    """

    content: Figure | bytes
    alt: str
    caption: str = ""
    wide: bool = False
    photo: bool = False

    @functools.cached_property
    def files(self) -> dict[str, bytes]:
        """Kind of file -> its bytes: PNG, PDF and, unless it is made of images, SVG."""
        if isinstance(self.content, bytes):
            return {"png": self.content}
        return style.to_files(self.content, photo=self.photo)

    def markup(self, name: str) -> Markup:
        """Return it as an element of a page.

        Args:
            name: unique on the page, of letters, digits, ``-`` and ``_``.
        """
        if "svg" in self.files:
            return style.to_inline(self.files["svg"], name, self.alt)
        image = Markup('<img src="{}" alt="{}">')
        return image.format(data_uri(self.files["png"]), printable(self.alt))


@dataclass(frozen=True)
class Section:
    """A part of a page: sentences, tables and figures under a heading.

    Args:
        title: its heading; "" = none.
        text: sentences, a paragraph each.
        tables: below them.
        figures: name of the file, without its ending -> figure.
        template: file that renders it.
        content: values for a template other than section.html.
    """

    title: str
    text: Sequence[str] = ()
    tables: Sequence[ResultTable] = ()
    figures: Mapping[str, PageFigure] = field(default_factory=dict)
    template: str = "section.html"
    content: Any = None


@dataclass(frozen=True)
class Page:
    """The parts of a page.

    Args:
        title: its heading, and that of its window.
        kicker: a line above the heading.
        lead: paragraphs below it.
        sections: its parts.
        config: of the run, shown at the end; None = it has none.
        provenance: ``command``, ``date``, ``device`` and ``versions`` as results have them;
            what is absent is shown as not recorded.
        template: file that renders it.
        facts: values for a template other than page.html.
        written_by: version and schema of the file that it is made from.
    """

    title: str
    kicker: str = ""
    lead: Sequence[str] = ()
    sections: Sequence[Section] = ()
    config: Any = None
    provenance: Mapping[str, Any] | None = None
    template: str = "page.html"
    facts: Mapping[str, Any] = field(default_factory=dict)
    written_by: str = f"torchreid_adv {__version__}"

    @property
    def sortable(self) -> bool:
        """Whether a table on it can be sorted."""
        tables = (table for section in self.sections for table in section.tables)
        return bool(self.facts.get("sortable")) or any(table.sortable for table in tables)

    @property
    def origin(self) -> list[tuple[str, str]]:
        """Where it comes from: pairs (aspect, answer)."""
        return origin(self.provenance)

    def render(self) -> str:
        """Return the page as HTML."""
        values = {**self.facts, "page": self, "config": text.config_lines(self.config or {})}
        return environment().get_template(self.template).render(values)


NOT_RECORDED = "not recorded"
_DATE = re.compile("<time>[^<]*</time>")


def origin(provenance: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return where a result comes from: pairs (aspect, answer), ``not recorded`` for none.

    Args:
        provenance: as ``results.json`` has it.
    """
    facts = dict(provenance or {})
    versions = dict(facts.get("versions") or {})
    version_list = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [
        ("Command", str(facts.get("command") or NOT_RECORDED)),
        ("Date", str(facts.get("date") or NOT_RECORDED)),
        ("Device", str(facts.get("device") or NOT_RECORDED)),
        ("Versions", version_list or NOT_RECORDED),
        *[("Warning", str(warning)) for warning in facts.get("warnings") or ()],
    ]


def write_page(path: Path, page: Page) -> Path:
    """Write a page, one self-contained file, and return its path.

    A page that differs only in its date is left unchanged, so a finished run can be read on a
    read-only disk.

    Raises:
        OSError: the folder cannot be written.
    """
    html = page.render()
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    if _DATE.sub("", before) != _DATE.sub("", html):
        write_text(path, html)
    return path


def write_figures(folder: Path, figures: Mapping[str, PageFigure]) -> None:
    """Write the files of figures atomically: ``NAME.png``, ``.pdf``, ``.svg``.

    Args:
        folder: for the files.
        figures: name -> figure.
    """
    for name, figure in figures.items():
        for kind, content in figure.files.items():
            write_bytes(folder / f"{name}.{kind}", content)


def environment() -> Environment:
    """Return the environment that renders templates.

    Unprintable characters in a value are spelled out, and HTML is escaped.
    """
    templates = Environment(
        loader=PackageLoader("torchreid_adv.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "anchor": anchor,
        "fixed": text.fixed,
        "moved": text.moved,
        "number": text.number,
        "percent": text.percent,
        "png": png,
        "uri": data_uri,
    }
    templates.globals |= {"sorting": sorting(), "palette": style.variables}
    return templates


def _plain(value: Any) -> Any:
    return value if isinstance(value, Markup) else printable(str(value))


def anchor(name: str) -> str:
    """Return a name as an id of a page: letters, digits and ``-``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "part"


def figure_prefixes(names: Sequence[str]) -> list[str]:
    """Return the prefix of each data set's figure files: empty if there is only one data set."""
    if len(names) == 1:
        return [""]
    safe = [re.sub(r"[^A-Za-z0-9-]", "_", name)[:60] for name in names]
    unique = len({name.lower() for name in safe}) == len(names)
    return [f"{name}_" if unique else f"{n}_{name}_" for n, name in enumerate(safe, start=1)]
