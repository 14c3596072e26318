"""``torchreid-adv card``: attacks, corruptions, occlusion and people on one page for each model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchreid_adv.cli.command import Command, Ended, typed
from torchreid_adv.cli.flags import TRAINED, USUAL, Models
from torchreid_adv.cli.help_text import Usage
from torchreid_adv.cli.reads import (
    DATA,
    DEFENSE,
    ONE_NETWORK,
    PAGE,
    SCORES,
    UNIT_FEATURES,
    VIRTUAL,
)
from torchreid_adv.cli.standard import check_zoo
from torchreid_adv.config import AdvConfig

if TYPE_CHECKING:
    from torchreid_adv.core.processes import Team


def _card(cfg: AdvConfig, team: Team) -> Ended:
    """Make the card of each named model; no result counts as an error."""
    from torchreid_adv.experiments.card.content import CARD
    from torchreid_adv.experiments.card.run import cards

    lines = []
    for path in cards(cfg, typed()):
        name = "Card" if path.name == CARD else "Comparison"
        lines += [f"{name}: {path}", f"Page: {path.with_suffix('.html')}"]
        lines.append(f"Picture: {path.with_suffix('.png')}")
    return Ended("\n".join(lines))


CARD_COMMAND = Command(
    name="card",
    help="one page per model: attacked, corrupted, occluded, by person",
    about="Make the robustness card of models: clean, attacked, corrupted, occluded, by person and "
    "by camera, with intervals over identities. The first target is the card's data set; the clean "
    "models are also tested on further ones.",
    work=_card,
    check=check_zoo,
    usage=Usage(
        examples=(
            "card osnet_x1_0:model.pth.tar-60 -t market1501 --root reid-data adv.card.version lite",
            "card mine=osnet_x1_0:mine.pth theirs=resnet50:theirs.pth -t market1501 dukemtmcreid "
            "--root reid-data adv.standard.surrogates \"['a=resnet50:a.pth', 'b=mlfn:b.pth']\"",
        ),
        writes="Below --out/DATA SET/MODEL: card.json, card.html and card.png, and what "
        "torchreid-adv standard writes. Of several models, below --out/DATA SET: cards.json, "
        "cards.html and cards.png. The same command continues where it stopped.",
        time="The attacks take as long as torchreid-adv standard in the version that the card's "
        "names (lite: lite-2, full: standard-2). The version lite also scores 69 corrupted or "
        "occluded sets of queries and 3 of both sides; full scores 115 and 10.",
        reads=(
            *(*DATA, *ONE_NETWORK, *SCORES, *DEFENSE, *PAGE, "adv.card.*"),
            *("adv.standard.*", "adv.attack.metric", "adv.job.threads"),
            "adv.zoo",
        ),
        further=(*VIRTUAL, "training"),
    ),
    flags=USUAL,
    models=Models(key="adv.standard.models", needed=True, enough=(*TRAINED, "adv.zoo")),
    defaults=(UNIT_FEATURES, ("data.save_dir", "log/card")),
    holds=False,  # each model's folder is held while it is worked in
    defense=True,
).registered()
