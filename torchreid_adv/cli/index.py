"""What the registries hold, written down, so that names are known before PyTorch is imported.

``python -m torchreid_adv.cli.index`` writes ``index.json`` next to this module; a test compares it
with the registries.
"""

from __future__ import annotations

import functools
import inspect
import json
from pathlib import Path

from torchreid_adv.core.pixels import LEVELS, from_levels, to_levels
from torchreid_adv.registry import TABLES, Registry

INDEX = Path(__file__).with_name("index.json")
_MANY = 12  # options, from which on none are listed
Entry = dict[str, str]  # about, and where there are any: paper, options, keywords, flags


def entries_of(registry: Registry) -> dict[str, Entry]:
    """Return the description of each entry that a config can name, from the index or the registry.

    A registry whose modules are imported is read directly: it may hold entries of plugins.
    """
    kind = next((kind for kind, table in TABLES.items() if table is registry), "")
    known = index().get(kind, {})
    now = known if known and not registry.is_loaded else entries_now(registry)
    ordered = [*known, *now]  # as the index, whatever was imported first
    return {n: now[n] for n in ordered if n in now and "internal" not in now[n].get("flags", "")}


def entries_now(registry: Registry) -> dict[str, Entry]:
    """Return the description of each entry, from the entries themselves."""
    return {name: _entry(registry, name) for name in registry}


def written() -> str:
    """Return what ``index.json`` has to hold."""
    described = {kind: entries_now(registry) for kind, registry in TABLES.items()}
    return json.dumps(described, indent=1) + "\n"


@functools.cache
def index() -> dict[str, dict[str, Entry]]:
    """Return what is written of each table of the registry, see ``registry.as_written``."""
    tables: dict[str, dict[str, Entry]] = json.loads(INDEX.read_text(encoding="utf-8"))
    return tables


def _entry(registry: Registry, name: str) -> Entry:
    facts = registry.facts(name)
    about = facts.get("title") or facts.get("help") or _first_line(registry.get(name))
    entry = {"about": about, "paper": facts.get("paper", ""), "options": _options(registry, name)}
    keywords = registry.keywords(name)
    entry |= {"flags": " ".join(flag for flag, value in facts.items() if value is True)}
    entry = {part: text for part, text in entry.items() if text}
    return entry if keywords is None else entry | {"keywords": " ".join(keywords)}


def _first_line(entry: object) -> str:
    return (inspect.getdoc(entry) or "").split("\n")[0].replace("``", "")


def _options(registry: Registry, name: str) -> str:
    shown = {n: p for n, p in registry.options(name).items() if p.default is not p.empty}
    if len(shown) >= _MANY:
        return ""
    return ", ".join(f"{n}={_value(p.default)}" for n, p in shown.items())


def _value(default: object) -> str:
    """Write a default as it is meant: 3/255 for gray levels, few digits for other fractions."""
    if not isinstance(default, float):
        return repr(default)
    levels = round(to_levels(default))
    small = 0 < default < 0.1  # 0.2 is a share, though it is 51 levels
    return f"{levels}/{LEVELS}" if small and from_levels(levels) == default else f"{default:.4g}"


if __name__ == "__main__":
    INDEX.write_text(written(), encoding="utf-8")
