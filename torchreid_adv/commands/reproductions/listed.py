"""Figures that a public listing has under a paper, and the paper itself has not."""

from __future__ import annotations

from torchreid_adv.commands.reproducing import Reproduction
from torchreid_adv.config import AdvConfig
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.report.comparison import printed_alone
from torchreid_adv.report.paper import paper_table


@REPRODUCTIONS.register("bai2019.cross_modality", title="listed visible-infrared figures, alone")
def cross_modality(cfg: AdvConfig) -> Reproduction:
    """Show the figures and that nobody says what they are of; nothing is run."""
    given = list(cfg.adv.transfer.models)
    notes = [f"Not used, because no setting is stated: {', '.join(given)}."] if given else []
    return Reproduction(printed_alone(paper_table("bai2019.cross_modality"), notes=notes))
