"""``torchreid-adv benchmark``: this package, others and the unavoidable work, in one run."""

from __future__ import annotations

import json
from pathlib import Path

from torchreid_adv.cli.help_text import Usage, plain_parser
from torchreid_adv.core.files import write_text
from torchreid_adv.python.benchmarking import SECTIONS, benchmark
from torchreid_adv.registry import COMMANDS

SIZES = ("queries", "gallery", "images")


USAGE = Usage(
    examples=("benchmark attack --images 16", "benchmark retrieval --json results.json"),
    writes="Nothing; with --json FILE, the results as JSON.",
    time="Minutes for each section; docs/performance.md has the results of two machines.",
)


@COMMANDS.register("benchmark", help="measure the speed of this package and of others", usage=USAGE)
def benchmark_command(arguments: list[str]) -> int:
    """Time this package, other packages and the unavoidable work; all sections, or those named."""
    parser = plain_parser("benchmark", USAGE, benchmark_command.__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--json", default="", metavar="FILE", help="write the results to this file")
    for size in SIZES:
        parser.add_argument(
            f"--{size}", type=int, metavar="N", help=f"number of {size}, where used"
        )
    parser.add_argument("--device", default="cpu", help="cpu or cuda, where sections use it")
    options = parser.parse_args(arguments)
    measured = benchmark(
        options.sections or None,
        queries=options.queries or None,
        gallery=options.gallery or None,
        images=options.images or None,
        device=options.device,
    )
    if options.json:
        write_text(Path(options.json), json.dumps(measured.content, indent=1) + "\n")
    return 0
