"""``torchreid-adv compare``: results of two runs or more, side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

from torchreid_adv.cli.help_text import Usage, plain_parser
from torchreid_adv.registry import COMMANDS

USAGE = Usage(
    examples=(
        "compare log/ifgsm log/sma",
        "compare log/standard/people/mine log/standard/people/theirs --out comparison.html",
    ),
    writes="Nothing without --out. With --out FILE, a table in the format of the suffix .md, .html "
    "or .json; with --out DIR, compare.md, compare.html and compare.json.",
    time="Seconds: only results.json and standard.json are read.",
)


@COMMANDS.register(
    "compare", help="print the results of two or more runs side by side", usage=USAGE
)
def compare_command(arguments: list[str]) -> int:
    """Print the results of runs side by side, and write them with ``--out``; return 0.

    Raises:
        ConfigError: fewer than two runs, or a file of an unknown form.
        DataError: a folder or file without a result.
    """
    parser = plain_parser(
        "compare",
        USAGE,
        "Print the results of runs side by side: settings, measures, and differences in settings.",
        usage="torchreid-adv compare RUN RUN ... [--out FILE|DIR]",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder of an attack, attack-gallery or standard run, or its results.json or "
        "standard.json",
    )
    parser.add_argument("--out", default="", metavar="FILE|DIR", help="where to write the table")
    options = parser.parse_args(arguments)
    if len(options.runs) < 2:
        parser.error("compare takes two runs or more: compare log/one log/two")
    from torchreid_adv.experiments.compare_runs import compare_runs

    table = compare_runs(options.runs)
    written = table.write(Path(options.out).expanduser(), "compare") if options.out else []
    print(table.console(shutil.get_terminal_size().columns))
    print("\n".join(["", *(f"Table: {path}" for path in written)]), end="\n" if written else "")
    return 0
