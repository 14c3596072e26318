"""Gong et al.: tables and a figure of networks trained adversarially, beside others."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from torchreid_adv.config import AdvConfig
from torchreid_adv.defenses import Defense
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.comparison import Comparison, Finding, compare, measured
from torchreid_adv.experiments.figures import bars_figure
from torchreid_adv.experiments.papers.bai2019 import TABLE
from torchreid_adv.experiments.papers.joint_defence import (
    ATTACK,
    attacked_itself,
    attacking,
    padding,
    scaling,
    scored,
    sizes_note,
)
from torchreid_adv.experiments.reproduce import (
    Models,
    Reproduction,
    chosen_models,
    finding,
    rule_note,
    settle,
    wanting,
)
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.paper_table import PaperTable, paper_table
from torchreid_adv.runs.grid import clean_cells, transfer

PRESERVING = "{}-M"  # label of the metric-preserving form of a network
ITSELF = "itself"
ATTACKS = ("ifgsm", "sma", "lta")
TRAINED = "AT_{}"  # label of the network trained adversarially against an attack
FIGURE_6 = {
    "N": "normally trained",
    "CF": "channel fusion",
    "DL-star": "diversity learning without LHT",
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
    """Attack the normal network, those trained against one attack each by that, and DL."""
    printed = paper_table("joint_defence.table7")
    names = {TRAINED.format(a): f"adversarial training against {a}" for a in ATTACKS}
    labels = {label: printed.models[label] for label in ("N", "DL")} | names
    models = chosen_models(cfg, _with_models(printed, labels, dict.fromkeys(labels, "resnet50")))
    attacking(cfg, printed, list(ATTACKS))
    cells = []
    for row, (label, behind) in _rows(cfg).items():
        made = [TRAINED.format(a) for a in ATTACKS] if label == "AT" else [label]
        cells += scored(cfg, made, behind, row)
        for number, attack in enumerate(ATTACKS):
            own = cfg.clone()
            own.adv.transfer.attacks = [attack]
            cells += attacked_itself(own, [made[number % len(made)]], behind, row)
    note = (
        "AT is one network per attack, AT_ifgsm, AT_sma and AT_lta, each under its own attack; "
        "clean is their mean, also behind a defense. Attacks do not know of the defense."
    )
    sizes = sizes_note(cfg, "jad", "jad2", "jad3")
    return Reproduction(_compared(cfg, printed, _row_means(cells), models, note, sizes))


def _rows(cfg: AdvConfig) -> dict[str, tuple[str, Defense | None]]:
    """Return what stands in each row: a network (AT: three) and the defense before it."""
    return {
        "N": ("N", None),
        "AT": ("AT", None),
        "AT_CS": ("AT", scaling(cfg)),
        "RRP": ("AT", padding(cfg, 5)),
        **{name: ("DL", scaling(cfg, name.lower())) for name in ("JAD", "JAD2", "JAD3")},
    }


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
    kinds: dict[tuple[str, str, str, str], dict[str, str]] = {}
    for cell in cells:
        label, trained = own.get(cell.tested, cell.tested), cell.tested in own
        measure = "metric_preserving_mAP" if trained else "mAP"
        places = [cell.attacked] if cell.attacked not in own else []
        places += [ITSELF] if cell.attacked == cell.tested else []
        for attacked in places:
            key = cell.target, attacked, cell.attack, label
            found.setdefault(key, {})[measure] = float(cell.adversarial["mAP"])
            kinds.setdefault(key, {})[measure] = cell.kind
    for measures in found.values():
        normal, preserving = measures.get("mAP"), measures.get("metric_preserving_mAP")
        if normal and preserving is not None:
            measures["improvement"] = preserving / normal - 1  # the paper's #I
    return [
        Finding(
            dict(zip(("target", "attacked", "attack", "tested"), key, strict=True)),
            measures,
            kind=kinds[key].get("mAP", ""),
            kinds=kinds[key],
        )
        for key, measures in found.items()
    ]


def _row_means(cells: Sequence[Cell]) -> list[Finding]:
    """Return re-ranked measures, the mean where a row has several networks."""
    rows: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.target, cell.tested, cell.attack), []).append(cell)
    findings = []
    for place, found in rows.items():
        measures = [measured(cell.adversarial["rerank"]) for cell in found]
        means = {name: statistics.fmean(one[name] for one in measures) for name in measures[0]}
        where = dict(zip(("target", "tested", "attack"), place, strict=True))
        findings.append(Finding(where, means, found[0].kind if place[2] else ""))
    return findings


def _compared(
    cfg: AdvConfig, table: PaperTable, findings: Sequence[Finding], models: Models, *notes: str
) -> Comparison:
    return compare(table, findings, notes=[*models.notes, *notes, rule_note(cfg, table)])


ATTACKED, GENERATOR, PRINTED = "R50", "mis_ranking", "dmr"
NETWORKS = {
    "R50": ("ResNet-50 that the generator was trained against", "resnet50"),
    "N": ("normally trained network, no defense", "densenet121"),
    "AT_dmr": ("trained offline against the generator", "densenet121"),
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
    for row, (label, behind) in _mis_ranking_rows(cfg).items():
        if label in chosen.labels:
            own = cfg.clone()
            own.adv.transfer.attacked, own.adv.transfer.tested = [ATTACKED], [label]
            cells = [*scored(cfg, [label], behind, row), *transfer(own, behind=behind)]
            for cell in cells:
                cell = replace(cell, tested=row)
                attack = PRINTED if cell.attack else ""
                findings.append(finding(cell, reranked=True, attack=attack))
    bound = f"Ours has eps {cfg.adv.attack.eps:g}."
    notes = [*chosen.notes, rule_note(cfg, table), bound, sizes_note(cfg, "jad")]
    return Reproduction(compare(table, findings, notes=notes))


def _settle(cfg: AdvConfig, name: str) -> None:
    """Set all but the bound, which the paper does not state, and the attack's file."""
    of_steps = ("eps", "step_size", "steps")
    common = {key: value for key, value in ATTACK.items() if key.rpartition(".")[2] not in of_steps}
    settle(cfg, name, {**common, "adv.evaluation.rerank": True})
    settle(cfg, name, {"adv.transfer.attacks": [GENERATOR]})
    cfg.adv.attack.name = GENERATOR


def _mis_ranking_rows(cfg: AdvConfig) -> dict[str, tuple[str, Defense | None]]:
    return {
        "N": ("N", None),
        "AT": ("AT_dmr", None),
        "RRP": ("AT_dmr", padding(cfg, 5)),
        "JAD": ("DL", scaling(cfg)),
        "SB": ("SB", None),
        "SB+JAD": ("SB-DL", scaling(cfg)),
        "FR": ("FR", None),
        "FR+JAD": ("FR-DL", scaling(cfg)),
    }
