"""Claims of the papers about adversarial training, also under attacks on the trained networks."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchreid_adv.config import AdvConfig
from torchreid_adv.engines.robust_report import robust_report
from torchreid_adv.engines.start import start_weights
from torchreid_adv.engines.trained import trained_weights
from torchreid_adv.experiments.claims import Case, Claim, Printed, PrintedCells, Reading
from torchreid_adv.experiments.study import Found
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.runs.grid import transfer

WAYS: dict[str, dict[str, Any]] = {
    "offline": {"mode": "offline", "init": "config"},
    "online": {"mode": "online", "mix": "both"},
}
Figures = dict[str, float]

SHARE, COST = 0.6, 0.05  # required share of recovered mAP; allowed loss of clean mAP
TABLE, BASE = "bai2019.table5", ("B1", "B2", "B3", "B4")
WHITE = ("clean", "white-box I-FGSM, gallery")
KEPT = "metric_preserving_mAP"


def _won_share(mAP: PrintedCells) -> float:
    """Return the share of lost mAP that metric-preserving networks recover, minus 60 %."""
    shares = []
    for name in BASE:
        cell: dict[str, Any] = {"tested": name, "attacked": name, "attack": "ifgsm"}
        clean, under = mAP(tested=name, attacked=""), mAP(**cell)
        shares.append((mAP(KEPT, **cell) - under) / (clean - under))
    return statistics.fmean(shares) - SHARE


WINS_BACK = Claim(
    "Metric-preserving training recovers more than 60 % of the mAP lost to its attack",
    (*WHITE, "gray-box I-FGSM"),
    Printed((TABLE,), _won_share),
)
COSTS = Claim(
    "Metric-preserving training costs at most 5 points of clean mAP",
    ("clean",),
    Printed((TABLE,), lambda mAP: COST - mAP(attacked="") + mAP(KEPT, attacked="")),
)
ITSELF = Claim(
    "Attacked itself, a metric-preserving network keeps less mAP than under its training's attack",
    (*WHITE, "gray-box I-FGSM"),
)
THREE_TIMES = Claim(
    "Attacked itself, a network trained online keeps over three times the mAP of a normal one",
    WHITE,
)
ONLINE = Claim(
    "Attacked itself, a network trained online keeps more mAP than a metric-preserving one", WHITE
)
ACCURACY = Claim(
    "Online training has the lower clean mAP of the two",
    ("clean",),
)
CLAIMS = (WINS_BACK, COSTS, ITSELF, THREE_TIMES, ONLINE, ACCURACY)


@STUDIES.register("training", title="Adversarial training", claims=CLAIMS)
def training(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Also train each model offline and online, and make attacks on each of the networks.

    Args:
        cfg: ``adv.training.*`` for both trainings, ``adv.transfer.attacks`` for the tests; claims
            use the first attack.
        seed: of all trainings.
        specs: the clean models.
    """
    results: list[Found] = []
    for spec in specs:
        figures = _figures(cfg, spec, seed)
        table = f"mAP of {spec.label}" if len(specs) > 1 else "mAP"
        for name, value in figures.items():
            row, column = name.split("_")
            results.append(Reading(table, row, column, seed, value))
        lines = claims(figures)
        results += [Case(claim, spec.label, seed, less, more) for claim, less, more in lines]
    return results


def claims(figures: Figures) -> list[tuple[Claim, float, float]]:
    """Return the claims with the value that should be smaller and the other one.

    Args:
        figures: mAP in [0, 1] of the ``normal``, ``offline`` and ``online`` network: for each,
            ``<name>_clean``, ``<name>_adaptive`` and, if trained, ``<name>_oblivious``.
    """
    normal, white = figures["normal_clean"], figures["normal_adaptive"]
    lost = normal - white
    offline, online = figures["offline_adaptive"], figures["online_adaptive"]
    won = (figures["offline_oblivious"] - white) / lost if lost > 0 else math.nan
    cost = normal - figures["offline_clean"]
    return [
        (WINS_BACK, SHARE, won),
        (COSTS, cost, COST),
        (ITSELF, offline, figures["offline_oblivious"]),
        (THREE_TIMES, 3 * white, online),
        (ONLINE, offline, online),
        (ACCURACY, figures["online_clean"], figures["offline_clean"]),
    ]


def _figures(cfg: AdvConfig, spec: ModelSpec, seed: int) -> Figures:
    specs = {"normal": spec} | {mode: _trained(cfg, spec, seed, mode) for mode in WAYS}
    run_cfg = cfg.clone()
    run_cfg.data.save_dir = str(Path(cfg.data.save_dir) / spec.label)
    if spec.size:
        run_cfg.data.height, run_cfg.data.width = spec.size
    run_cfg.adv.transfer.models = [replace(network, label=k).entry for k, network in specs.items()]
    robust_report(run_cfg, "normal")
    first = cfg.adv.transfer.attacks[0]
    run_cfg.adv.transfer.attacks = [first]
    cells = transfer(run_cfg, lambda attacked, tested: attacked in ("normal", tested))
    figures: Figures = {}
    for cell in cells:
        knowledge = "adaptive" if cell.attacked == cell.tested else "oblivious"
        figures[f"{cell.tested}_{knowledge}"] = float(cell.adversarial["mAP"])
        figures[f"{cell.tested}_clean"] = float(cell.clean["mAP"])
    return figures


def _trained(cfg: AdvConfig, spec: ModelSpec, seed: int, mode: str) -> ModelSpec:
    run_cfg = cfg.clone()
    run_cfg.model.name, run_cfg.train.seed = spec.name, seed
    if spec.size:
        run_cfg.data.height, run_cfg.data.width = spec.size
    run_cfg.model.load_weights = start_weights(cfg, spec)  # the normal network's start
    run_cfg.adv.engine = "adversarial_training"
    for key, value in WAYS[mode].items():
        run_cfg.adv.training[key] = value
    if mode == "offline":
        run_cfg.adv.training.weights = spec.weights
        run_cfg.adv.training.folder = str(Path(cfg.data.save_dir) / spec.label / "training_set")
    return replace(spec, label=mode, weights=str(trained_weights(run_cfg)))
