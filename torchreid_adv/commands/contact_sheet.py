"""``torchreid-adv contact-sheet``: what each transform does, on virtual people."""

from __future__ import annotations

import argparse
from pathlib import Path

from torchreid_adv.jobs.files import write_bytes
from torchreid_adv.registry import COMMANDS, TRANSFORMS
from torchreid_adv.report.charts import to_png
from torchreid_adv.report.transform_sheet import transform_sheet

_MOST = 50


@COMMANDS.register("contact-sheet", help="draw what each transform does to virtual people, as PNG")
def main(arguments: list[str]) -> int:
    """Draw a row of changed images for each transform named, or for all that need no file."""
    parser = argparse.ArgumentParser("torchreid-adv contact-sheet", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="TRANSFORM", help=", ".join(TRANSFORMS))
    parser.add_argument("--out", default="transforms.png", metavar="FILE", help="where it goes")
    parser.add_argument("--draws", type=int, default=7, metavar="N", help="images a row")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of people and draws")
    chosen = parser.parse_args(arguments)
    if not 1 <= chosen.draws <= _MOST or chosen.seed < 0:
        parser.error(f"--draws is from 1 to {_MOST}, and --seed at least 0")
    for name in chosen.names:
        TRANSFORMS.get(name)
    names = chosen.names or [n for n in TRANSFORMS if not TRANSFORMS.facts(n).get("learned")]
    figure = transform_sheet(names, draws=chosen.draws, seed=chosen.seed)
    write_bytes(Path(chosen.out), to_png(figure))
    print(f"drawn: {chosen.out}")
    return 0
