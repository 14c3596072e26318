"""``torchreid-adv pictures`` and ``contact-sheet``: what models, transforms, corruptions do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torchreid_adv.cli.command import Command, Ended
from torchreid_adv.cli.flags import ONE_ATTACK, Models
from torchreid_adv.cli.help_text import Usage, plain_parser
from torchreid_adv.cli.index import entries_of
from torchreid_adv.cli.reads import ONE_NETWORK, RUN, UNIT_FEATURES, VIRTUAL
from torchreid_adv.config import AdvConfig
from torchreid_adv.registry import COMMANDS, CORRUPTIONS, TRANSFORMS

if TYPE_CHECKING:
    import argparse

    from matplotlib.figure import Figure

    from torchreid_adv.core.processes import Team

_MOST = 50


def _pictures(cfg: AdvConfig, team: Team) -> Ended:
    """Attack queries on each model and show attention, features and noise.

    For tracklets (``data.type: video``), show ranking lists and attention.
    """
    from torchreid_adv.experiments.pictures import pictures
    from torchreid_adv.experiments.tracklet_pictures import tracklet_pictures

    draw = tracklet_pictures if cfg.data.type == "video" else pictures
    return Ended(f"\nReport: {draw(cfg)}")


PICTURES = Command(
    name="pictures",
    help="show attention, features and noise of models side by side",
    about="Attack queries on each model and show attention, features and noise.",
    work=_pictures,
    usage=Usage(
        examples=(
            "pictures --config-file configs/pictures.yaml",
            "pictures N=resnet50:normal.pth DL=resnet50:diverse.pth -t market1501 "
            "--root reid-data --eps 8",
        ),
        writes="Below --out: report.html with its figures, pictures.json. Grad-CAM needs pip "
        "install 'torchreid_adv[pictures]'.",
        time="An attack of a few queries on each model. With "
        "adv.virtual.train_model the models are trained first, once.",
        reads=(*RUN, *ONE_NETWORK, "model.pretrained", "adv.pictures.*"),
        further=VIRTUAL,
    ),
    flags=ONE_ATTACK,
    models=Models(key="adv.pictures.models"),
    defaults=(UNIT_FEATURES, ("data.save_dir", "log/pictures")),
).registered()


SHEET = Usage(
    examples=("contact-sheet", "contact-sheet --corruptions --out corruptions.png"),
    writes="One PNG, transforms.png or --out.",
    time="Two transforms took 5 s of one CPU core, most of it to import PyTorch.",
)


@COMMANDS.register(
    "contact-sheet",
    help="draw images before and after transforms or corruptions",
    usage=SHEET,
)
def contact_sheet_command(arguments: list[str]) -> int:
    """Draw changed images for each transform or corruption named, or for all transforms."""
    parser = plain_parser("contact-sheet", SHEET, contact_sheet_command.__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a transform or corruption (torchreid-adv list transforms corruptions)",
    )
    parser.add_argument(
        "--corruptions", action="store_true", help="draw the named corruptions, or all of them"
    )
    parser.add_argument(
        "--out", default="transforms.png", metavar="FILE", help="the PNG file to write"
    )
    parser.add_argument("--draws", type=int, default=7, metavar="N", help="images per row")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the people and of the random draws",
    )
    options = parser.parse_args(arguments)
    if not 1 <= options.draws <= _MOST or options.seed < 0:
        parser.error(f"--draws is from 1 to {_MOST}, and --seed at least 0")
    from torchreid_adv.core.files import write_bytes
    from torchreid_adv.report.style import to_png

    figure = _corruptions(options) if _is_of_corruptions(options) else _transforms(options)
    write_bytes(Path(options.out), to_png(figure))
    print(f"drawn: {options.out}")
    return 0


def _is_of_corruptions(options: argparse.Namespace) -> bool:
    return options.corruptions or any(name in entries_of(CORRUPTIONS) for name in options.names)


def _transforms(options: argparse.Namespace) -> Figure:
    from torchreid_adv.report.transform_sheet import transform_sheet

    for name in options.names:
        TRANSFORMS.get(name)
    names = options.names or [n for n in TRANSFORMS if not TRANSFORMS.facts(n).get("learned")]
    return transform_sheet(names, draws=options.draws, seed=options.seed)


def _corruptions(options: argparse.Namespace) -> Figure:
    from torchreid_adv.corruptions import published_kinds
    from torchreid_adv.report.corruption_sheet import corruption_sheet

    further = [name for name in CORRUPTIONS if CORRUPTIONS.facts(name)["further"]]
    names = list(map(CORRUPTIONS.name_of, options.names)) or [*published_kinds(), *further]
    return corruption_sheet(names, seed=options.seed)
