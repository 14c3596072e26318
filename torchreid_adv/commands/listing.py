"""``torchreid-adv list``: every registered name with its options; the examples; every key."""

from __future__ import annotations

import argparse
import inspect

from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.examples import FOLDER, described, examples
from torchreid_adv.key_reference import reference
from torchreid_adv.pixels import LEVELS, from_levels, to_levels
from torchreid_adv.registry import COMMANDS, TABLES, Registry

KINDS = (*TABLES, FOLDER)


@COMMANDS.register("list", help="list attacks, transforms, data sets... with their options")
def main(arguments: list[str]) -> int:
    """Print the registries, or the kinds that are named; ``configs`` = the example configs.

    Raises:
        ConfigError: a kind that does not exist.
    """
    parser = argparse.ArgumentParser(
        "torchreid-adv list", description="List what a config can name, and the example configs."
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--configs", action="store_true", help=f"the same as the kind {FOLDER}")
    parser.add_argument("--keys", action="store_true", help="every config key, as Markdown")
    chosen = parser.parse_args(arguments)
    if chosen.keys:
        print(reference(), end="")
        return 0
    for kind in [*chosen.kinds, *([FOLDER] if chosen.configs else [])] or KINDS:
        if kind not in KINDS:
            raise ConfigError(f"unknown kind '{kind}'{suggest(kind, KINDS)}")
        lines = _examples() if kind == FOLDER else describe(TABLES[kind])
        print("\n".join([f"{kind}:", *lines, ""]))
    return 0


def _examples() -> list[str]:
    """Return the lines of the example configs."""
    lines = [f"  {name:<42} {about}" for name, about in described()]
    return [*lines, f"  Files: {examples()}"] if lines else ["  (none)"]


def describe(registry: Registry) -> list[str]:
    """Return the lines of one registry."""
    lines = []
    width = max((len(name) for name in registry), default=0)
    for name in registry:
        facts = registry.facts(name)
        if not facts.get("internal"):
            about = facts.get("title") or facts.get("help") or _first_line(registry.get(name))
            lines.append(f"  {name:<{width}}  {about}")
            lines += [f"{'':<{width + 4}}{facts['paper']}"] if "paper" in facts else []
            lines += [f"{'':<{width + 4}}options: {o}" for o in [_options(registry, name)] if o]
    return lines or ["  (none)"]


def _first_line(entry: object) -> str:
    return (inspect.getdoc(entry) or "").split("\n")[0].replace("``", "")


def _options(registry: Registry, name: str) -> str:
    shown = {n: p for n, p in registry.options(name).items() if p.default is not p.empty}
    return (
        ", ".join(f"{n}={_value(p.default)}" for n, p in shown.items()) if len(shown) < 12 else ""
    )


def _value(default: object) -> str:
    """Write a default as it is meant: 3/255 for gray levels, few digits for other fractions."""
    if not isinstance(default, float):
        return repr(default)
    levels = round(to_levels(default))
    small = 0 < default < 0.1  # 0.2 is a share, though it is 51 levels
    return f"{levels}/{LEVELS}" if small and from_levels(levels) == default else f"{default:.4g}"
