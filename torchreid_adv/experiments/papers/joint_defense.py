"""Gong et al., Robust Person Re-identification with Multi-Modal Joint Defence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torchreid_adv.config import AdvConfig
from torchreid_adv.defenses import Defense, build_defense
from torchreid_adv.defenses.chain import Pad
from torchreid_adv.defenses.circuitous_scaling import PRESETS, in_proportion
from torchreid_adv.engines.progress import FILE as CURVES
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.comparison import OurCell, compare
from torchreid_adv.experiments.figures import border_figure, training_figure
from torchreid_adv.experiments.reproduce import (
    Reproduction,
    chosen_models,
    finding,
    rule_note,
    settle,
    wanting,
)
from torchreid_adv.models.specs import parse_models
from torchreid_adv.registry import REPRODUCTIONS
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.paper_table import PaperTable, paper_table
from torchreid_adv.runs.grid import clean_cells, transfer

ATTACK = {
    "test.normalize_feature": True,
    "test.dist_metric": "euclidean",
    "adv.evaluation.ap_rule": "trapezoid",
    "adv.data.interpolation": "bicubic",  # the released code's, with and without a defense
    **dict.fromkeys(("adv.attack.metric", "adv.attack.reference", "adv.transfer.paper"), ""),
    "adv.attack.side": "query",
    "adv.attack.space": "network",  # the released code resizes first, then attacks
    "adv.attack.targeted": False,
    "adv.attack.eps": 5.0,
    "adv.attack.step_size": 1.0,
    "adv.attack.steps": 15,
    "adv.attack.momentum": None,
    "adv.transfer.eps": [5.0],
    "adv.transfer.metrics": [],
    "adv.transfer.tested": [],
}


@REPRODUCTIONS.register("joint_defense.table1", title="SMA, LTA- and LTA on queries")
def table1(cfg: AdvConfig) -> Reproduction:
    """Attack the queries of the normal network with each of the attacks."""
    table = paper_table("joint_defense.table1")
    models = chosen_models(cfg, table)
    attacks = table.values("attack")
    settings = {"adv.transfer.attacked": [], "adv.transfer.attacks": attacks}
    settle(cfg, table.name, {**ATTACK, **settings})
    cfg.adv.attack.name = attacks[0]  # any attack with steps; the clean row has no attack
    cells = [*clean_cells(cfg), *transfer(cfg)]
    notes = [*models.notes, rule_note(cfg, table)]
    return Reproduction(compare(table, [finding(cell) for cell in cells], notes=notes))


RERANKED = {**ATTACK, "adv.evaluation.rerank": True}
NETWORKS = {
    "N": "normally trained network, no defense",
    "N2": "another normally trained network",
    "CF": "channel fusion in training",
    "DL-star": "diversity learning without local homogeneous transformation",
    "DL": "diversity learning in training",
}
ATTACKS = ["ifgsm", "sma", "lta"]
BORDERS = range(11)  # pixels, figure 9


@REPRODUCTIONS.register("joint_defense.table2", title="trained on one data set, tested on another")
def table2(cfg: AdvConfig) -> Reproduction:
    """Score N, DL* and DL on data sets that they were not trained on."""
    table = paper_table("joint_defense.table2")
    overlap = set(cfg.data.sources) & set(cfg.data.targets)
    if overlap:
        raise ConfigError(
            f"{table.name} tests on other data sets than the training sets, but '{min(overlap)}' "
            "is in both data.sources and data.targets; remove it from one of them"
        )
    models = chosen_models(cfg, _asking(table, "N", "DL-star", "DL"))
    settle(cfg, table.name, {**RERANKED, "adv.transfer.attacked": []})
    printed = {"N": "N", "DL-star": "DL*", "DL": "DL*+LHT"}
    trained = ", ".join(cfg.data.sources)
    findings = []
    for cell in scored(cfg, list(printed)):
        where = {"tested": printed[cell.tested], "source": _source(table, cell.target, trained)}
        findings += _both(cell, **where)
    note = f"Ours is trained on {trained} (data.sources)."
    return _compared(cfg, table, findings, [note, *models.notes])


@REPRODUCTIONS.register("joint_defense.table3", title="clean accuracy of N and JAD")
def table3(cfg: AdvConfig) -> Reproduction:
    """Score N, and DL behind circuitous scaling."""
    table = paper_table("joint_defense.table3")
    models = chosen_models(cfg, _asking(table, "N", "DL"))
    settle(cfg, table.name, {**RERANKED, "adv.transfer.attacked": []})
    cells = [*scored(cfg, ["N"]), *scored(cfg, ["DL"], scaling(cfg), "JAD")]
    notes = [*models.notes, sizes_note(cfg, "jad")]
    return _compared(cfg, table, [f for c in cells for f in _both(c)], notes)


@REPRODUCTIONS.register("joint_defense.table4", title="attacks on queries of N and JAD")
def table4(cfg: AdvConfig) -> Reproduction:
    """Attack N and DL, test N and DL behind circuitous scaling."""
    table = paper_table("joint_defense.table4")
    models = chosen_models(cfg, _asking(table, "N", "DL"))
    attacking(cfg, table, ATTACKS)
    cells = [*attacked_itself(cfg, ["N"]), *attacked_itself(cfg, ["DL"], scaling(cfg), "JAD")]
    notes = [*models.notes, sizes_note(cfg, "jad")]
    return _compared(cfg, table, [f for c in cells for f in _both(c)], notes)


@REPRODUCTIONS.register("joint_defense.table5", title="parts of the joint defense: CF, DL, JAD")
def table5(cfg: AdvConfig) -> Reproduction:
    """Attack N, CF and DL; test them, and also DL behind circuitous scaling."""
    table = paper_table("joint_defense.table5")
    models = chosen_models(cfg, _asking(table, "N", "CF", "DL"))
    attacking(cfg, table, ATTACKS)
    cells = [*scored(cfg, models.labels), *attacked_itself(cfg, models.labels)]
    for score in (scored, attacked_itself):
        cells += score(cfg, ["DL"], scaling(cfg), "JAD")
    findings = [finding(cell, reranked=True) for cell in cells]
    return _compared(cfg, table, findings, [*models.notes, sizes_note(cfg, "jad")])


@REPRODUCTIONS.register("joint_defense.table6", title="chains of resizing before N")
def table6(cfg: AdvConfig) -> Reproduction:
    """Attack N by LTA, test it behind each chain."""
    table = paper_table("joint_defense.table6")
    models = chosen_models(cfg, _asking(table, "N"))
    attacking(cfg, table, ["lta"])
    cells = [*scored(cfg, ["N"]), *attacked_itself(cfg, ["N"])]
    for chain, preset in {"A": "A", "B": "B", "AB": "AB", "ABA": "jad"}.items():
        for score in (scored, attacked_itself):
            cells += score(cfg, ["N"], scaling(cfg, preset), f"N+{chain}")
    findings = [finding(cell, reranked=True) for cell in cells]
    notes = [*models.notes, sizes_note(cfg, "A", "B", "AB", "jad")]
    return _compared(cfg, table, findings, notes)


@REPRODUCTIONS.register("joint_defense.table9", title="examples of N2 and of DL, tested by N")
def table9(cfg: AdvConfig) -> Reproduction:
    """Attack another normal network and DL by SMA; test N, without and with re-ranking."""
    table = paper_table("joint_defense.table9")
    asking = _asking(table, "N", "N2", "DL")
    models = chosen_models(cfg, asking)
    attacked = [label for label in ("N2", "DL") if label in models.labels]
    if "N" not in models.labels or not attacked:
        raise wanting(asking, "N is tested, at least one of N2 and DL is attacked")
    attacking(cfg, table, ["sma"])
    cfg.adv.transfer.attacked, cfg.adv.transfer.tested = attacked, ["N"]
    findings = [our_cell for cell in transfer(cfg) for our_cell in _both(cell)]
    return _compared(cfg, table, findings, ["Ours is SMA.", *models.notes])


@REPRODUCTIONS.register("joint_defense.fig5", title="training curves of DL* and DL")
def fig5(cfg: AdvConfig) -> Reproduction:
    """Train the config's recipe with and without local transformations, and draw the curves."""
    table = paper_table("joint_defense.fig5")
    settle(cfg, table.name, {"loss.name": "softmax", "sampler.train_sampler": "RandomSampler"})
    recipes = {"DL*": "diversity_global", "DL": "diversity"}
    present = [name for name in cfg.data.transforms if name in recipes.values()]
    if len(present) != 1:
        raise ConfigError(
            f"{table.name} trains a recipe with each of {', '.join(recipes.values())}: "
            "data.transforms must contain one of the two, as in configs/train/joint_dl.yaml"
        )
    curves = {}
    for label, name in recipes.items():
        run_cfg = cfg.clone()
        run_cfg.data.transforms = [
            name if transform in present else transform for transform in cfg.data.transforms
        ]
        folder = trained_weights(run_cfg, engine="curves").parent.parent
        curves[label] = json.loads((folder / CURVES).read_text(encoding="utf-8"))
    target = ", ".join(cfg.data.sources)
    findings = [
        OurCell({"target": target, "tested": label}, {k: points[-1][k] for k in table.measures})
        for label, points in curves.items()
    ]
    return Reproduction(compare(table, findings), {"curves": training_figure(curves)})


@REPRODUCTIONS.register("joint_defense.fig9", title="resize and pad: accuracy against the border")
def fig9(cfg: AdvConfig) -> Reproduction:
    """Score networks behind resizing and a border of 0 to 10 pixels, clean and under SMA."""
    table = paper_table("joint_defense.fig9")
    models = chosen_models(cfg, table)
    attacking(cfg, table, ["sma"])
    findings = []
    for border in BORDERS:
        behind = padding(cfg, border)
        cells = [*scored(cfg, models.labels, behind), *attacked_itself(cfg, models.labels, behind)]
        findings += [finding(cell, reranked=True, border=float(border)) for cell in cells]
    drawn = {name: border_figure(findings, name) for name in dict.fromkeys(cfg.data.targets)}
    return Reproduction(_compared(cfg, table, findings, models.notes).comparison, drawn)


def _asking(table: PaperTable, *labels: str) -> PaperTable:
    """Return the table restricted to the networks that must be given."""
    models = {label: NETWORKS[label] for label in labels}
    return replace(table, models=models, networks=dict.fromkeys(labels, "resnet50"))


def attacking(cfg: AdvConfig, table: PaperTable, attacks: list[str]) -> None:
    """Set that each model is attacked separately."""
    settings = {"adv.transfer.attacked": [], "adv.transfer.attacks": attacks}
    settle(cfg, table.name, {**RERANKED, **settings})
    cfg.adv.attack.name = attacks[0]


def scaling(cfg: AdvConfig, preset: str = "jad") -> Defense:
    """Return circuitous scaling by a preset, in proportion to the input size of a config."""
    final = (cfg.data.height, cfg.data.width)
    return build_defense("circuitous_scaling", preset=preset, final=final, proportional=True)


def sizes_note(cfg: AdvConfig, *presets: str) -> str:
    """Return a sentence on the sizes that images are resized to before the tested networks.

    Args:
        cfg: for the input size.
        presets: names of chains of the scaling.
    """
    final = (cfg.data.height, cfg.data.width)
    chains = []
    for preset in presets:
        steps = in_proportion(PRESETS[preset], final)
        words = [f"pad {s.border}" if isinstance(s, Pad) else f"{s[0]}x{s[1]}" for s in steps]
        chains.append(f"{preset} {', '.join(words)}")
    return (
        f"Sizes for an input of {final[0]}x{final[1]}, the paper's in proportion: "
        f"{'; '.join(chains)}; then the input size."
    )


def padding(cfg: AdvConfig, border: int) -> Defense:
    """Return resizing, in proportion to the input size of a config, and a border, in pixels."""
    final = (cfg.data.height, cfg.data.width)
    (size,) = in_proportion(PRESETS["A"], final)
    return build_defense("rrp_paper", size=list(size), border=border, final=final)


def scored(
    cfg: AdvConfig, labels: Sequence[str], behind: Defense | None = None, tested: str = ""
) -> list[Cell]:
    """Return how the models with these labels rank the clean data sets.

    Args:
        cfg: of the table.
        labels: of models; those that the config does not have are skipped.
        behind: a defense for them.
        tested: their name with the defense.
    """
    run_cfg = cfg.clone()
    run_cfg.adv.attack.update(name="sma", weights="")  # any attack with steps; nothing is attacked
    run_cfg.adv.transfer.tested = _given(cfg, labels)
    cells = clean_cells(run_cfg, behind=behind) if run_cfg.adv.transfer.tested else []
    return [replace(cell, tested=tested or cell.tested) for cell in cells]


def attacked_itself(
    cfg: AdvConfig, labels: Sequence[str], behind: Defense | None = None, tested: str = ""
) -> list[Cell]:
    """Return how they rank images attacked on their own weights; see :func:`scored`."""
    run_cfg = cfg.clone()
    run_cfg.adv.transfer.attacked = run_cfg.adv.transfer.tested = _given(cfg, labels)
    if not run_cfg.adv.transfer.attacked:
        return []
    cells = transfer(run_cfg, lambda attacked, other: attacked == other, behind=behind)
    return [replace(cell, tested=tested or cell.tested) for cell in cells]


def _given(cfg: AdvConfig, labels: Sequence[str]) -> list[str]:
    known = [spec.label for spec in parse_models(cfg.adv.transfer.models)]
    return [label for label in labels if label in known]


def _both(cell: Cell, **where: Any) -> list[OurCell]:
    """Return a cell without and with re-ranking."""
    return [finding(cell, reranked=kind, rerank=kind, **where) for kind in (False, True)]


def _source(table: PaperTable, target: str, trained: str) -> str:
    """Return the source set of the paper's networks for a data set, else that of ours."""
    against = table.target_for(target)
    sources = [cell["source"] for cell in table.cells if cell["target"] == against]
    return trained if trained in sources or target in table.targets else sources[0]


def _compared(
    cfg: AdvConfig, table: PaperTable, findings: Sequence[OurCell], notes: Sequence[str]
) -> Reproduction:
    return Reproduction(compare(table, findings, notes=[*notes, rule_note(cfg, table)]))
