"""The page: sections through a template into one file that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from torchreid_adv.errors import printable
from torchreid_adv.jobs.files import write_bytes, write_text
from torchreid_adv.report import words
from torchreid_adv.report.pictures import data_uri, png
from torchreid_adv.report.sections import Section, build_section
from torchreid_adv.report.sorting import sorting
from torchreid_adv.report.target import TargetReport


def write_page(out: Path, results: dict[str, Any], targets: Sequence[TargetReport]) -> Path:
    """Write figures, then the page; see :func:`torchreid_adv.report.target.write_report`."""
    sections = [build_section(target, str(results["model"]["name"])) for target in targets]
    prefixes = figure_prefixes([target.name for target in targets])
    for prefix, section in zip(prefixes, sections, strict=True):
        for name, content in section.figures.items():
            write_bytes(out / "figures" / f"{prefix}{name}.png", content)
    path = out / "report.html"
    write_text(path, render(results, sections))
    return path


def render(results: dict[str, Any], sections: Sequence[Section]) -> str:
    """Fill the template."""
    config = words.config_lines(results.get("config"))
    template = environment().get_template("report.html")
    return template.render(results=results, sections=sections, config=config)


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
        "fixed": words.fixed,
        "moved": words.moved,
        "number": words.number,
        "percent": words.percent,
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
