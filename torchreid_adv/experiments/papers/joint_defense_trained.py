"""Gong et al.: tables and a figure on adversarially trained networks compared with others."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from torchreid_adv.config import AdvConfig
from torchreid_adv.defenses import Defense
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.comparison import Comparison, OurCell, compare, measured
from torchreid_adv.experiments.figures import bars_figure
from torchreid_adv.experiments.papers.bai2019 import TABLE
from torchreid_adv.experiments.papers.joint_defense import (
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


@REPRODUCTIONS.register("bai2019.table5", title="normal and metric-preserving networks")
def table5(cfg: AdvConfig) -> Reproduction:
    """Attack the normal networks and test both kinds; then attack the trained networks."""
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
        raise wanting(table, f"at least one of {', '.join(base)} is attacked")
    preserving = {PRESERVING.format(b) for b in base} & set(models.labels)
    attacked = [*normal, *sorted(preserving)]
    settings = {**TABLE, "adv.transfer.attacks": ["ifgsm"], "adv.transfer.attacked": attacked}
    settle(cfg, table.name, settings)
    cells = transfer(cfg, lambda source, tested: source in base or source == tested)
    clean = clean_cells(cfg)
    findings = _beside([*clean, *cells], base)
    note = (
        "Examples of B1 to B4 are made on the normal networks, as all are in the paper. 'itself': "
        "made on the tested network, including the metric-preserving ones."
    )
    return Reproduction(_compared(cfg, printed, findings, models, note))


@REPRODUCTIONS.register("joint_defense.table7", title="adversarial training and other defenses")
def table7(cfg: AdvConfig) -> Reproduction:
    """Attack the normal network, DL, and each adversarially trained network by its attack."""
    printed = paper_table("joint_defense.table7")
    names = {TRAINED.format(a): f"adversarial training against {a}" for a in ATTACKS}
    labels = {label: printed.models[label] for label in ("N", "DL")} | names
    models = chosen_models(cfg, _with_models(printed, labels, dict.fromkeys(labels, "resnet50")))
    attacking(cfg, printed, list(ATTACKS))
    cells = []
    for row, (label, behind) in _rows(cfg).items():
        row_labels = [TRAINED.format(a) for a in ATTACKS] if label == "AT" else [label]
        cells += scored(cfg, row_labels, behind, row)
        for number, attack in enumerate(ATTACKS):
            run_cfg = cfg.clone()
            run_cfg.adv.transfer.attacks = [attack]
            cells += attacked_itself(run_cfg, [row_labels[number % len(row_labels)]], behind, row)
    note = (
        "AT is one network per attack, AT_ifgsm, AT_sma and AT_lta, each under its own attack; "
        "clean is their mean, also behind a defense. Attacks do not know the defense."
    )
    sizes = sizes_note(cfg, "jad", "jad2", "jad3")
    return Reproduction(_compared(cfg, printed, _row_means(cells), models, note, sizes))


def _rows(cfg: AdvConfig) -> dict[str, tuple[str, Defense | None]]:
    """Return row -> its network (AT: three) and defense."""
    return {
        "N": ("N", None),
        "AT": ("AT", None),
        "AT_CS": ("AT", scaling(cfg)),
        "RRP": ("AT", padding(cfg, 5)),
        **{name: ("DL", scaling(cfg, name.lower())) for name in ("JAD", "JAD2", "JAD3")},
    }


@REPRODUCTIONS.register("joint_defense.fig6", title="clean accuracy of defense models")
def fig6(cfg: AdvConfig) -> Reproduction:
    """Score the models without an attack and draw them; the paper's bars have no numbers."""
    base = paper_table("joint_defense.table7")
    table = replace(
        _with_models(base, FIGURE_6, dict.fromkeys(FIGURE_6, "resnet50")),
        name="joint_defense.fig6",
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
        OurCell({"target": cell.target, "tested": cell.tested}, measured(cell.clean))
        for cell in clean_cells(cfg)
    ]
    comparison = _compared(cfg, table, findings, models)
    figures = {target: bars_figure(comparison, target) for target in comparison.targets}
    return Reproduction(comparison, figures)


def _with_models(table: PaperTable, models: dict[str, str], networks: dict[str, str]) -> PaperTable:
    return replace(table, models=models, networks=networks)


def _beside(cells: Sequence[Cell], base: Sequence[str]) -> list[OurCell]:
    """Return one finding for a network and its metric-preserving form under the same attack."""
    normal_of = {PRESERVING.format(label): label for label in base}
    measures_of: dict[tuple[str, str, str, str], dict[str, float]] = {}
    kinds: dict[tuple[str, str, str, str], dict[str, str]] = {}
    for cell in cells:
        label, trained = normal_of.get(cell.tested, cell.tested), cell.tested in normal_of
        measure = "metric_preserving_mAP" if trained else "mAP"
        places = [cell.attacked] if cell.attacked not in normal_of else []
        places += [ITSELF] if cell.attacked == cell.tested else []
        for attacked in places:
            key = cell.target, attacked, cell.attack, label
            measures_of.setdefault(key, {})[measure] = float(cell.adversarial["mAP"])
            kinds.setdefault(key, {})[measure] = cell.kind
    for measures in measures_of.values():
        normal, preserving = measures.get("mAP"), measures.get("metric_preserving_mAP")
        if normal and preserving is not None:
            measures["improvement"] = preserving / normal - 1  # the paper's #I
    return [
        OurCell(
            dict(zip(("target", "attacked", "attack", "tested"), key, strict=True)),
            measures,
            kind=kinds[key].get("mAP", ""),
            kinds=kinds[key],
        )
        for key, measures in measures_of.items()
    ]


def _row_means(cells: Sequence[Cell]) -> list[OurCell]:
    """Return re-ranked measures, the mean if a row has several networks."""
    rows: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.target, cell.tested, cell.attack), []).append(cell)
    findings = []
    for place, row_cells in rows.items():
        measures = [measured(cell.adversarial["rerank"]) for cell in row_cells]
        means = {
            name: statistics.fmean(scores[name] for scores in measures) for name in measures[0]
        }
        where = dict(zip(("target", "tested", "attack"), place, strict=True))
        findings.append(OurCell(where, means, row_cells[0].kind if place[2] else ""))
    return findings


def _compared(
    cfg: AdvConfig, table: PaperTable, findings: Sequence[OurCell], models: Models, *notes: str
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


@REPRODUCTIONS.register("joint_defense.table8", title="Mis-Ranking as a black box, re-ranked")
def table8(cfg: AdvConfig) -> Reproduction:
    """Attack the queries by a generator trained against R50, test the other networks.

    Raises:
        ConfigError: no R50, or no generator in ``adv.attack.weights``.
    """
    table = paper_table("joint_defense.table8")
    models = {label: words for label, (words, _) in NETWORKS.items()}
    networks = {label: network for label, (_, network) in NETWORKS.items()}
    asking = replace(table, models=models, networks=networks)
    given_models = chosen_models(cfg, asking)
    if ATTACKED not in given_models.labels or len(given_models.labels) < 2:
        raise wanting(asking, f"{ATTACKED} is attacked, at least one of the others is tested")
    if not cfg.adv.attack.weights:
        raise ConfigError(
            f"{table.name} attacks by a generator that was trained against {ATTACKED} "
            f"(adv.engine {GENERATOR}); name its file in adv.attack.weights"
        )
    _settle(cfg, table.name)
    findings = []
    for row, (label, behind) in _mis_ranking_rows(cfg).items():
        if label in given_models.labels:
            run_cfg = cfg.clone()
            run_cfg.adv.transfer.attacked, run_cfg.adv.transfer.tested = [ATTACKED], [label]
            cells = [*scored(cfg, [label], behind, row), *transfer(run_cfg, behind=behind)]
            for cell in cells:
                cell = replace(cell, tested=row)
                attack = PRINTED if cell.attack else ""
                findings.append(finding(cell, reranked=True, attack=attack))
    bound = f"Ours has eps {cfg.adv.attack.eps:g}."
    notes = [*given_models.notes, rule_note(cfg, table), bound, sizes_note(cfg, "jad")]
    return Reproduction(compare(table, findings, notes=notes))


def _settle(cfg: AdvConfig, name: str) -> None:
    """Set everything except the bound, which the paper does not state, and the attack's file."""
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
