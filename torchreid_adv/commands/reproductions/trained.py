"""Tables and a figure of networks that were trained adversarially, beside others."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torchreid_adv.commands.reproducing import (
    Models,
    Reproduction,
    chosen_models,
    rule_note,
    settle,
    wanting,
)
from torchreid_adv.commands.reproductions.bai2019 import TABLE
from torchreid_adv.commands.reproductions.joint_defence import ATTACK
from torchreid_adv.commands.transfer import clean_cells, transfer
from torchreid_adv.config import AdvConfig
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.report.bars import bars_figure
from torchreid_adv.report.comparison import Comparison, Finding, compare, measured
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.paper import PaperTable, paper_table

PRESERVING = "{}-M"  # label of the metric-preserving form of a network
ITSELF = "itself"
ATTACKS = ("ifgsm", "sma", "lta")
TRAINED = "AT_{}"  # label of the network trained adversarially against an attack
FIGURE_6 = {
    "N": "normally trained",
    "CF": "channel fusion",
    "DL_star": "diversity learning without LHT",
    "DL": "diversity learning",
    **{TRAINED.format(attack): f"offline, against {attack}" for attack in (*ATTACKS, "dmr")},
    "SMA2": "online, against sma",
}


@REPRODUCTIONS.register("bai2019.table5", title="normal beside metric-preserving networks")
def table5(cfg: AdvConfig) -> Reproduction:
    """Attack the normal networks and test both kinds; then attack the trained ones themselves."""
    printed = paper_table("bai2019.table5")
    base: list[str] = printed.values("tested")
    table = _with_models(
        printed,
        {label: printed.models[label] for label in base}
        | {PRESERVING.format(b): f"{printed.models[b]}, metric-preserving" for b in base},
        {PRESERVING.format(label): printed.networks[label] for label in base}
        | {label: printed.networks[label] for label in base},
    )
    models = chosen_models(cfg, table)
    normal = [label for label in base if label in models.labels]
    if not normal:
        raise wanting(table, f"one of {', '.join(base)} at least is attacked")
    preserving = {PRESERVING.format(b) for b in base} & set(models.labels)
    attacked = [*normal, *sorted(preserving)]
    settings = {**TABLE, "adv.transfer.attacks": ["ifgsm"], "adv.transfer.attacked": attacked}
    settle(cfg, table.name, settings)
    cells = transfer(cfg, lambda made, on: made in base or made == on)
    clean = clean_cells(cfg)
    findings = _beside([*clean, *cells], base)
    note = (
        "Examples of B1 to B4 are made on the normal networks, as the paper's all are. 'itself': "
        "made on the network that is tested, also where it is the metric-preserving one."
    )
    return Reproduction(_compared(cfg, printed, findings, models, note))


@REPRODUCTIONS.register("joint_defence.table7", title="adversarial training beside other defenses")
def table7(cfg: AdvConfig) -> Reproduction:
    """Attack the normal network and, each by its own attack, those trained against one."""
    printed = paper_table("joint_defence.table7")
    names = {TRAINED.format(a): f"adversarial training against {a}" for a in ATTACKS}
    labels = {"N": printed.models["N"], **names}
    models = chosen_models(cfg, _with_models(printed, labels, dict.fromkeys(labels, "resnet50")))
    settings = {"adv.transfer.attacked": [], "adv.transfer.attacks": list(ATTACKS)}
    settle(cfg, printed.name, {**ATTACK, **settings})
    cfg.adv.evaluation.rerank = True
    cfg.adv.attack.name = ATTACKS[0]  # one that takes steps; the clean row is made with none
    cells = []
    for attack in ATTACKS:
        own = cfg.clone()
        own.adv.transfer.attacks = [attack]
        own.adv.transfer.attacked = [
            label for label in ("N", TRAINED.format(attack)) if label in models.labels
        ]
        if own.adv.transfer.attacked:
            cells += transfer(own, lambda made, on: made == on)
    findings = [_reranked(cell, "N" if cell.tested == "N" else "AT") for cell in cells]
    findings += _clean_rows(clean_cells(cfg))
    note = (
        "AT is one network per attack, AT_ifgsm, AT_sma and AT_lta, each under its own attack; "
        "clean is their mean. Rows of defenses at test time are the paper's alone; table 5 has JAD."
    )
    return Reproduction(_compared(cfg, printed, findings, models, note))


@REPRODUCTIONS.register("joint_defence.fig6", title="clean accuracy of defense models")
def fig6(cfg: AdvConfig) -> Reproduction:
    """Score the models without an attack and draw them; the paper's bars have no numbers."""
    base = paper_table("joint_defence.table7")
    table = replace(
        _with_models(base, FIGURE_6, dict.fromkeys(FIGURE_6, "resnet50")),
        name="joint_defence.fig6",
        title="clean accuracy of defense models, drawn without numbers",
        cells=tuple({"target": "market1501", "tested": label} for label in FIGURE_6),
        columns=(),
        note="The paper draws bars without numbers: adversarial training below the others, online "
        "training (SMA2) lowest.",
    )
    models = chosen_models(cfg, table)
    settle(cfg, table.name, {**ATTACK, "adv.transfer.attacked": []})
    cfg.adv.attack.name = ATTACKS[0]
    findings = [
        Finding({"target": cell.target, "tested": cell.tested}, measured(cell.clean))
        for cell in clean_cells(cfg)
    ]
    comparison = _compared(cfg, table, findings, models)
    figures = {target: bars_figure(comparison, target) for target in comparison.targets}
    return Reproduction(comparison, figures)


def _with_models(table: PaperTable, models: dict[str, str], networks: dict[str, str]) -> PaperTable:
    return replace(table, models=models, networks=networks)


def _beside(cells: Sequence[Cell], base: Sequence[str]) -> list[Finding]:
    """Return one finding for a network and its metric-preserving form under the same attack."""
    own = {PRESERVING.format(label): label for label in base}
    found: dict[tuple[str, str, str, str], dict[str, float]] = {}
    kinds: dict[tuple[str, str, str, str], str] = {}
    for cell in cells:
        label, trained = own.get(cell.tested, cell.tested), cell.tested in own
        measure = "metric_preserving_mAP" if trained else "mAP"
        places = [cell.attacked] if cell.attacked not in own else []
        places += [ITSELF] if cell.attacked == cell.tested else []
        for attacked in places:
            key = cell.target, attacked, cell.attack, label
            found.setdefault(key, {})[measure] = float(cell.adversarial["mAP"])
            kinds.setdefault(key, cell.kind)
    return [
        Finding(
            dict(zip(("target", "attacked", "attack", "tested"), key, strict=True)),
            measures,
            kinds[key],
        )
        for key, measures in found.items()
    ]


def _reranked(cell: Cell, tested: str) -> Finding:
    where = {"target": cell.target, "tested": tested, "attack": cell.attack}
    return Finding(where, _measures(cell.adversarial["rerank"]), cell.kind)


def _clean_rows(cells: Sequence[Cell]) -> list[Finding]:
    """Return clean results of the normal network and the mean of the trained ones."""
    rows: dict[tuple[str, str], list[dict[str, float]]] = {}
    for cell in cells:
        place = cell.target, "N" if cell.tested == "N" else "AT"
        rows.setdefault(place, []).append(_measures(cell.clean["rerank"]))
    return [
        Finding(
            {"target": target, "tested": tested, "attack": ""},
            {name: statistics.fmean(one[name] for one in found) for name in found[0]},
        )
        for (target, tested), found in rows.items()
    ]


def _measures(scores: dict[str, Any]) -> dict[str, float]:
    return {"rank1": float(scores["cmc"]["1"]), "mAP": float(scores["mAP"])}


def _compared(
    cfg: AdvConfig, table: PaperTable, findings: Sequence[Finding], models: Models, *notes: str
) -> Comparison:
    return compare(table, findings, notes=[*models.notes, *notes, rule_note(cfg, table)])
