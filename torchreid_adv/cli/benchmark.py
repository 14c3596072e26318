"""``torchreid-adv benchmark``: ours, a peer and the floor, measured in one run."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

from torchreid_adv.cli.help_text import Usage, plain_parser
from torchreid_adv.registry import COMMANDS

SECTIONS = {  # section -> module of benchmarks/
    "attack": "attacks",
    "retrieval": "retrieval",
    "rerank": "rerank",
    "neighbors": "neighbors",
    "jobs": "storing",
    "transforms": "transforms",
    "corruptions": "corruptions",
    "training": "training",
    "meta": "meta",
}
SIZES = ("queries", "gallery", "images")
DEVICES = ("cpu", "cuda")


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
    if options.device not in DEVICES:
        parser.error(f"unknown device '{options.device}'; choose from {', '.join(DEVICES)}")
    import torch

    from torchreid_adv.core.files import write_text

    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU here; leave --device out")
    for name in options.sections:
        if name not in SECTIONS:
            parser.error(f"unknown section '{name}'; choose from {', '.join(SECTIONS)}")
    settings = {
        name: getattr(options, name) for name in (*SIZES, "device") if getattr(options, name)
    }
    figures = {name: _run(name, settings) for name in options.sections or SECTIONS}
    if options.json:
        write_text(Path(options.json), json.dumps(figures, indent=1) + "\n")
    return 0


def _run(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    module = importlib.import_module(f"torchreid_adv.benchmarks.{SECTIONS[name]}")
    run = module.run
    known = inspect.signature(run).parameters
    figures: dict[str, Any] = run(**{key: value for key, value in settings.items() if key in known})
    return figures
