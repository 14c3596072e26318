"""Table 8 of the joint defense's paper: Mis-Ranking's generator against networks it never saw."""

from __future__ import annotations

from dataclasses import replace

from torchreid_adv.commands.reproducing import (
    Reproduction,
    chosen_models,
    finding,
    rule_note,
    settle,
    wanting,
)
from torchreid_adv.commands.reproductions.joint_defence import ATTACK, padding, scaling, scored
from torchreid_adv.commands.transfer import transfer
from torchreid_adv.config import AdvConfig
from torchreid_adv.defenses import Defense
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.report.comparison import compare
from torchreid_adv.report.paper import paper_table

ATTACKED, GENERATOR, PRINTED = "R50", "mis_ranking", "dmr"
NETWORKS = {
    "R50": ("ResNet-50 that the generator was trained against", "resnet50"),
    "N": ("normally trained network, no defense", "densenet121"),
    "AT": ("trained offline against the generator", "densenet121"),
    "DL": ("diversity learning in training", "densenet121"),
    "SB": ("strong baseline", "sb_resnet50"),
    "SB-DL": ("strong baseline, diversity learning in training", "sb_resnet50"),
    "FR": ("ResNet-101 with IBN-a", "ibn_resnet101"),
    "FR-DL": ("ResNet-101 with IBN-a, diversity learning in training", "ibn_resnet101"),
}


@REPRODUCTIONS.register("joint_defence.table8", title="Mis-Ranking as a black box, re-ranked")
def table8(cfg: AdvConfig) -> Reproduction:
    """Attack the queries by a generator trained against R50, test the other networks.

    Raises:
        ConfigError: no R50, or no generator in ``adv.attack.weights``.
    """
    table = paper_table("joint_defence.table8")
    models = {label: words for label, (words, _) in NETWORKS.items()}
    networks = {label: network for label, (_, network) in NETWORKS.items()}
    asking = replace(table, models=models, networks=networks)
    chosen = chosen_models(cfg, asking)
    if ATTACKED not in chosen.labels or len(chosen.labels) < 2:
        raise wanting(asking, f"{ATTACKED} is attacked, one of the others at least is tested")
    if not cfg.adv.attack.weights:
        raise ConfigError(
            f"{table.name} attacks by a generator that was trained against {ATTACKED} "
            f"(adv.engine {GENERATOR}); name its file in adv.attack.weights"
        )
    _settle(cfg, table.name)
    findings = []
    for row, (label, behind) in _rows(cfg).items():
        if label in chosen.labels:
            own = cfg.clone()
            own.adv.transfer.attacked, own.adv.transfer.tested = [ATTACKED], [label]
            cells = [*scored(cfg, [label], behind, row), *transfer(own, behind=behind)]
            for cell in cells:
                cell = replace(cell, tested=row)
                attack = PRINTED if cell.attack else ""
                findings.append(finding(cell, reranked=True, attack=attack))
    notes = [*chosen.notes, rule_note(cfg, table), f"Ours has eps {cfg.adv.attack.eps:g}."]
    return Reproduction(compare(table, findings, notes=notes))


def _settle(cfg: AdvConfig, name: str) -> None:
    """Set all but the bound, which the paper does not state, and the attack's file."""
    of_steps = ("eps", "step_size", "steps")
    common = {key: value for key, value in ATTACK.items() if key.rpartition(".")[2] not in of_steps}
    settle(cfg, name, {**common, "adv.evaluation.rerank": True})
    settle(cfg, name, {"adv.transfer.attacks": [GENERATOR]})
    cfg.adv.attack.name = GENERATOR


def _rows(cfg: AdvConfig) -> dict[str, tuple[str, Defense | None]]:
    return {
        "N": ("N", None),
        "AT": ("AT", None),
        "RRP": ("AT", padding(cfg, 5)),
        "JAD": ("DL", scaling(cfg)),
        "SB": ("SB", None),
        "SB+JAD": ("SB-DL", scaling(cfg)),
        "FR": ("FR", None),
        "FR+JAD": ("FR-DL", scaling(cfg)),
    }
