"""``torchreid-adv benchmark``: ours, a peer and the floor, measured in one run."""

from __future__ import annotations

import json
from pathlib import Path

from torchreid_adv.cli.help_text import Usage, plain_parser
from torchreid_adv.core.files import write_text
from torchreid_adv.python.benchmarking import SECTIONS, benchmark
from torchreid_adv.registry import COMMANDS

SIZES = ("queries", "gallery", "images")


USAGE = Usage(
    examples=("benchmark attack --images 16", "benchmark retrieval --json figures.json"),
    writes="Nothing, or the figures as JSON with --json FILE.",
    time="Minutes a section; docs/performance.md has the figures of two machines.",
)


@COMMANDS.register("benchmark", help="measure ours, the peer and the floor in one run", usage=USAGE)
def benchmark_command(arguments: list[str]) -> int:
    """Run the sections named, or all, and write their figures as JSON where asked."""
    parser = plain_parser("benchmark", USAGE, benchmark_command.__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--json", default="", metavar="FILE", help="write the figures there")
    for size in SIZES:
        parser.add_argument(f"--{size}", type=int, metavar="N", help="of the sections that have it")
    parser.add_argument("--device", default="cpu", help="of the sections that have it: cpu or cuda")
    chosen = parser.parse_args(arguments)
    measured = benchmark(
        chosen.sections or None,
        queries=chosen.queries or None,
        gallery=chosen.gallery or None,
        images=chosen.images or None,
        device=chosen.device,
    )
    if chosen.json:
        write_text(Path(chosen.json), json.dumps(measured.content, indent=1) + "\n")
    return 0
