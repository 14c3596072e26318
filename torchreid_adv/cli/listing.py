"""``torchreid-adv list``: what a config can name, and the example configs."""

from __future__ import annotations

from torchreid_adv.cli.help_text import Usage, plain_parser
from torchreid_adv.cli.index import entries_of
from torchreid_adv.config.examples import FOLDER, described, examples
from torchreid_adv.config.reference import reference
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.registry import COMMANDS, TABLES, Registry

KINDS = (*TABLES, FOLDER)


USAGE = Usage(
    examples=("list attacks defenses", "list configs"),
    writes="Nothing; list --keys > config.md saves the reference of all keys.",
    time="Less than a second.",
)


@COMMANDS.register(
    "list", help="list attacks, transforms, data sets... with their options", usage=USAGE
)
def list_command(arguments: list[str]) -> int:
    """Print the registries, or the kinds that are named; ``configs`` = the example configs.

    Raises:
        ConfigError: a kind that does not exist.
    """
    about = "List the attacks, models, data sets and other names for a config, and example configs."
    parser = plain_parser("list", USAGE, about)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"one of {', '.join(KINDS)}")
    parser.add_argument("--configs", action="store_true", help=f"the same as the kind {FOLDER}")
    parser.add_argument("--keys", action="store_true", help="print every config key, as Markdown")
    options = parser.parse_args(arguments)
    if options.keys:
        print(reference(), end="")
        return 0
    for kind in [*options.kinds, *([FOLDER] if options.configs else [])] or KINDS:
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
    entries = entries_of(registry)
    width = max((len(name) for name in entries), default=0)
    lines = []
    for name, entry in entries.items():
        lines.append(f"  {name:<{width}}  {entry.get('about', '')}")
        lines += [f"{'':<{width + 4}}{entry['paper']}"] if "paper" in entry else []
        lines += [f"{'':<{width + 4}}options: {entry['options']}"] if "options" in entry else []
    return lines or ["  (none)"]
