"""Gong et al., Robust Person Re-identification with Multi-Modal Joint Defence."""

from __future__ import annotations

from torchreid_adv.commands.reproducing import (
    Reproduction,
    chosen_models,
    finding,
    rule_note,
    settle,
)
from torchreid_adv.commands.transfer import clean_cells, transfer
from torchreid_adv.config import AdvConfig
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.report.comparison import compare
from torchreid_adv.report.paper import paper_table

ATTACK = {
    "test.normalize_feature": True,
    "test.dist_metric": "euclidean",
    "adv.evaluation.ap_rule": "trapezoid",
    **dict.fromkeys(("adv.attack.metric", "adv.attack.reference", "adv.transfer.paper"), ""),
    "adv.attack.side": "query",
    "adv.attack.targeted": False,
    "adv.attack.eps": 5.0,
    "adv.attack.step_size": 1.0,
    "adv.attack.steps": 15,
    "adv.attack.momentum": None,
    "adv.transfer.eps": [5.0],
    "adv.transfer.metrics": [],
    "adv.transfer.tested": [],
}


@REPRODUCTIONS.register("joint_defence.table1", title="SMA, LTA- and LTA on queries")
def table1(cfg: AdvConfig) -> Reproduction:
    """Attack the queries of the normal network with each of the attacks."""
    table = paper_table("joint_defence.table1")
    models = chosen_models(cfg, table)
    attacks = table.values("attack")
    settings = {"adv.transfer.attacked": [], "adv.transfer.attacks": attacks}
    settle(cfg, table.name, {**ATTACK, **settings})
    cfg.adv.attack.name = attacks[0]  # one that takes steps; the clean row is made with none
    cells = [*clean_cells(cfg), *transfer(cfg)]
    notes = [*models.notes, rule_note(cfg, table)]
    return Reproduction(compare(table, [finding(cell) for cell in cells], notes=notes))
