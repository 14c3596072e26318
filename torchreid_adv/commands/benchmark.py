"""``torchreid-adv benchmark SECTION``: ours, the peer and the floor, in one run."""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from typing import Any

from torchreid_adv.commands import (
    bench_attacks,
    bench_jobs,
    bench_meta,
    bench_rerank,
    bench_retrieval,
    bench_training,
    bench_transforms,
)
from torchreid_adv.jobs.files import write_text
from torchreid_adv.registry import COMMANDS

SECTIONS: dict[str, Any] = {
    "attack": bench_attacks,
    "retrieval": bench_retrieval,
    "rerank": bench_rerank,
    "jobs": bench_jobs,
    "transforms": bench_transforms,
    "training": bench_training,
    "meta": bench_meta,
}
SIZES = ("queries", "gallery", "images")


@COMMANDS.register("benchmark", help="measure ours, the peer and the floor in one run")
def main(arguments: list[str]) -> int:
    """Run the sections named, or all, and write their figures as JSON where asked."""
    parser = argparse.ArgumentParser("torchreid-adv benchmark", description=main.__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--json", default="", metavar="FILE", help="write the figures there")
    for size in SIZES:
        parser.add_argument(f"--{size}", type=int, metavar="N", help="of the sections that have it")
    chosen = parser.parse_args(arguments)
    for name in chosen.sections:
        if name not in SECTIONS:
            parser.error(f"unknown section '{name}'; choose from {', '.join(SECTIONS)}")
    sizes = {size: getattr(chosen, size) for size in SIZES if getattr(chosen, size)}
    figures = {name: _run(name, sizes) for name in chosen.sections or SECTIONS}
    if chosen.json:
        write_text(Path(chosen.json), json.dumps(figures, indent=1) + "\n")
    return 0


def _run(name: str, sizes: dict[str, int]) -> dict[str, Any]:
    run = SECTIONS[name].run
    known = inspect.signature(run).parameters
    figures: dict[str, Any] = run(**{size: n for size, n in sizes.items() if size in known})
    return figures
