"""``torchreid-adv list``: every registered name with its options, or every config key."""

from __future__ import annotations

import argparse
import inspect

from torchreid_adv.key_reference import reference
from torchreid_adv.registry import COMMANDS, TABLES, Registry


@COMMANDS.register("list", help="list attacks, transforms, data sets... with their options")
def main(arguments: list[str]) -> int:
    """Print the registries, or those that are named, or the reference of all keys."""
    parser = argparse.ArgumentParser("torchreid-adv list", description="List what is registered.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(TABLES)}")
    parser.add_argument("--keys", action="store_true", help="every config key, as Markdown")
    parsed = parser.parse_args(arguments)
    if parsed.keys:
        print(reference(), end="")
        return 0
    for kind in parsed.kinds or list(TABLES):
        if kind not in TABLES:
            parser.error(f"unknown kind '{kind}'; choose from {', '.join(TABLES)}")
        print("\n".join([f"{kind}:", *describe(TABLES[kind]), ""]))
    return 0


def describe(registry: Registry) -> list[str]:
    """Return the lines of one registry."""
    lines = []
    for name in registry:
        facts = registry.facts(name)
        if not facts.get("internal"):
            about = facts.get("title") or facts.get("help") or _first_line(registry.get(name))
            lines.append(f"  {name:<19} {about}")
            lines += [f"  {'':<20}{facts['paper']}"] if "paper" in facts else []
            lines += [f"  {'':<20}options: {o}" for o in [_options(registry, name)] if o]
    return lines or ["  (none)"]


def _first_line(entry: object) -> str:
    return (inspect.getdoc(entry) or "").split("\n")[0].replace("``", "")


def _options(registry: Registry, name: str) -> str:
    shown = {n: p for n, p in registry.options(name).items() if p.default is not p.empty}
    return ", ".join(f"{n}={p.default!r}" for n, p in shown.items()) if len(shown) < 12 else ""
