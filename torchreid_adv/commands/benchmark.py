"""``torchreid-adv benchmark SECTION``: ours, the peer and the floor, in one run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from torchreid_adv.commands import bench_attack, bench_retrieval
from torchreid_adv.jobs.files import write_text
from torchreid_adv.registry import COMMANDS

SECTIONS: dict[str, Any] = {"attack": bench_attack, "retrieval": bench_retrieval}


@COMMANDS.register("benchmark", help="measure ours, the peer and the floor in one run")
def main(arguments: list[str]) -> int:
    """Run the sections named, or all, and write their figures as JSON where asked."""
    parser = argparse.ArgumentParser("torchreid-adv benchmark", description=main.__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--json", default="", metavar="FILE", help="write the figures there")
    chosen = parser.parse_args(arguments)
    for name in chosen.sections:
        if name not in SECTIONS:
            parser.error(f"unknown section '{name}'; choose from {', '.join(SECTIONS)}")
    figures = {name: SECTIONS[name].run() for name in chosen.sections or SECTIONS}
    if chosen.json:
        write_text(Path(chosen.json), json.dumps(figures, indent=1) + "\n")
    return 0
