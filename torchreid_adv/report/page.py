"""What pages share: the templates that fill one file, and the names of its figure files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from torchreid_adv.errors import printable
from torchreid_adv.report import text
from torchreid_adv.report.cards import data_uri, png
from torchreid_adv.report.table import sorting


def environment() -> Environment:
    """Return what fills templates.

    Whatever is not printable in a value is spelled out, the rest escaped.
    """
    made = Environment(
        loader=PackageLoader("torchreid_adv.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "fixed": text.fixed,
        "moved": text.moved,
        "number": text.number,
        "percent": text.percent,
        "png": png,
        "uri": data_uri,
    }
    made.globals["sorting"] = sorting()
    return made


def _plain(value: Any) -> Any:
    return value if isinstance(value, Markup) else printable(str(value))


def figure_prefixes(names: Sequence[str]) -> list[str]:
    """Return what the figure files of each data set start with: nothing for a single one."""
    if len(names) == 1:
        return [""]
    safe = [re.sub(r"[^A-Za-z0-9-]", "_", name)[:60] for name in names]
    unique = len({name.lower() for name in safe}) == len(names)
    return [f"{name}_" if unique else f"{n}_{name}_" for n, name in enumerate(safe, start=1)]
