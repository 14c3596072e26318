"""Bai et al., Adversarial Metric Attack: tables 1 to 4, figures 3 and 5, and a further listing.

The listing has numbers on cross-modality re-ID that are not in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torchreid_adv.config import AdvConfig
from torchreid_adv.experiments.comparison import Comparison, OurCell, compare, printed_alone
from torchreid_adv.experiments.figures import ratio_figure
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
from torchreid_adv.report.curves import eps_figure
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.paper_table import PaperTable, paper_table
from torchreid_adv.runs.grid import BOUNDS, clean_cells, transfer


@REPRODUCTIONS.register("bai2019.cross_modality", title="listed visible-infrared numbers only")
def cross_modality(cfg: AdvConfig) -> Reproduction:
    """Show the numbers, whose settings are not documented; nothing is run."""
    models = list(cfg.adv.transfer.models)
    notes = [f"Unused, because no setting is stated: {', '.join(models)}."] if models else []
    return Reproduction(printed_alone(paper_table("bai2019.cross_modality"), notes=notes))


ATTACKS = ["fgsm", "ifgsm", "mifgsm"]
PROTOCOL: dict[str, Any] = {
    "test.normalize_feature": True,
    "test.dist_metric": "euclidean",
    "adv.evaluation.ap_rule": "trapezoid",
    **dict.fromkeys(("adv.attack.metric", "adv.attack.reference", "adv.transfer.paper"), ""),
    **dict.fromkeys(("adv.attack.step_size", "adv.attack.steps", "adv.attack.momentum")),
    "adv.data.interpolation": "bilinear",
    "adv.attack.side": "gallery",
    "adv.attack.space": "stored",
    "adv.attack.targeted": False,
    "adv.attack.eps": 5.0,
}
TABLE = {
    **PROTOCOL,
    "adv.transfer.eps": [5.0],
    "adv.transfer.attacks": ATTACKS,
    "adv.transfer.metrics": [],
    "adv.transfer.tested": [],
}


@REPRODUCTIONS.register("bai2019.table1", title="clean Rank-1 and mAP of the victims")
def table1(cfg: AdvConfig) -> Reproduction:
    """Score the models without an attack."""
    table = paper_table("bai2019.table1")
    models = chosen_models(cfg, table)
    settle(cfg, table.name, {**TABLE, "adv.transfer.attacked": []})
    return Reproduction(_compared(cfg, table, [finding(c) for c in clean_cells(cfg)], models))


@REPRODUCTIONS.register("bai2019.table2", title="transfer of single-model attacks (Market-1501)")
def table2(cfg: AdvConfig) -> Reproduction:
    """Attack each base model, test all."""
    return _single(cfg, paper_table("bai2019.table2"))


@REPRODUCTIONS.register("bai2019.table3", title="transfer of single-model attacks (DukeMTMC-reID)")
def table3(cfg: AdvConfig) -> Reproduction:
    """Attack each base model, test all."""
    return _single(cfg, paper_table("bai2019.table3"))


@REPRODUCTIONS.register("bai2019.table4", title="attacks on three base models together")
def table4(cfg: AdvConfig) -> Reproduction:
    """Attack all base models except one; test them together, the held-out one, and the others."""
    table = _held_out(paper_table("bai2019.table4"))
    models, base = chosen_models(cfg, table), [g[1:] for g in table.values("attacked")]
    groups = {"+".join(b for b in base if b != out): out for out in base}
    attacked_groups = [group for group in groups if set(group.split("+")) <= set(models.labels)]
    if not attacked_groups:
        raise wanting(table, f"at least three of {', '.join(base)}, which are attacked together")
    settle(cfg, table.name, {**TABLE, "adv.transfer.attacked": attacked_groups})
    cells = transfer(cfg, lambda attacked, tested: tested not in attacked.split("+"))
    findings = []
    for cell in cells:
        out = groups[cell.attacked]
        tested = "hold-out" if cell.tested == out else cell.tested
        findings.append(finding(cell, attacked=f"-{out}", tested=tested))
    return Reproduction(_compared(cfg, table, findings, models))


@REPRODUCTIONS.register("bai2019.fig3", title="adversarial over clean mAP of each tested model")
def fig3(cfg: AdvConfig) -> Reproduction:
    """Draw the ratios of tables 2 and 3; the paper's are computed from its tables 1 to 3."""
    table = _ratios()
    comparison = _single(cfg, table).comparison
    figures = {name: ratio_figure(comparison, name) for name in comparison.targets}
    return Reproduction(comparison, figures)


@REPRODUCTIONS.register("bai2019.fig5", title="mAP against eps, attacked metric and ranking metric")
def fig5(cfg: AdvConfig) -> Reproduction:
    """Attack B1 with several bounds and metrics, and rank by each of the metrics."""
    table = paper_table("bai2019.fig5")
    models = chosen_models(cfg, table)
    settle(cfg, table.name, {**PROTOCOL, "adv.transfer.attacked": [], "adv.transfer.tested": []})
    settings = cfg.adv.transfer
    settings.attacks = table.values("attack")
    settings.eps = list(settings.eps) or sorted({*BOUNDS, 5.0})
    settings.metrics = list(settings.metrics) or table.values("metric")
    cells: list[Cell] = []
    for metric in settings.metrics:
        run_cfg = cfg.clone()
        run_cfg.test.dist_metric = metric
        cells += [replace(cell, ranked=metric) for cell in transfer(run_cfg)]
    findings = [*map(finding, [*_unattacked(cells), *cells])]
    figures = {
        f"{target}_{attack}": eps_figure([c for c in cells if c.attack == attack], target)
        for target in dict.fromkeys(cell.target for cell in cells)
        for attack in settings.attacks
    }
    return Reproduction(_compared(cfg, table, findings, models), figures)


def _single(cfg: AdvConfig, table: PaperTable) -> Reproduction:
    models = chosen_models(cfg, table)
    attacked = [label for label in table.values("attacked") if label in models.labels]
    if not attacked:
        raise wanting(table, f"at least one of {', '.join(table.values('attacked'))} is attacked")
    settle(cfg, table.name, {**TABLE, "adv.transfer.attacked": attacked})
    return Reproduction(_compared(cfg, table, [finding(c) for c in transfer(cfg)], models))


def _compared(
    cfg: AdvConfig, table: PaperTable, findings: Sequence[OurCell], models: Models
) -> Comparison:
    return compare(table, findings, notes=[*models.notes, rule_note(cfg, table)])


def _held_out(table: PaperTable) -> PaperTable:
    """Return table 4 with the model that is not attacked as ``hold-out``, as printed."""
    cells = [
        {**cell, "tested": "hold-out"} if cell["attacked"] == f"-{cell['tested']}" else cell
        for cell in table.cells
    ]
    return replace(table, cells=tuple(cells))


def _ratios() -> PaperTable:
    """Return the ratios of figure 3, Duke first: it is the figure's data set."""
    first = paper_table("bai2019.table1")
    clean = {(cell["target"], cell["tested"]): cell["mAP"] for cell in first.cells}
    printed = [c for number in (3, 2) for c in paper_table(f"bai2019.table{number}").cells]
    cells = [
        {k: v for k, v in cell.items() if k != "mAP"}
        | {"map_ratio": round(cell["mAP"] / clean[cell["target"], cell["tested"]], 3)}
        for cell in printed
    ]
    return replace(
        paper_table("bai2019.table3"),
        name="bai2019.fig3",
        title="adversarial over clean mAP, the paper's computed from its tables 1 to 3",
        cells=tuple(cells),
        measures=("map_ratio",),
        unit="ratio",
    )


def _unattacked(cells: Sequence[Cell]) -> list[Cell]:
    """Return the points at eps 0: one for each curve."""
    curves = {(c.target, c.attack, c.metric, c.ranked): c for c in cells}
    return [replace(c, eps=0.0, adversarial=c.clean, kind="") for c in curves.values()]
