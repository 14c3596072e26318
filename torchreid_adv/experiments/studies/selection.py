"""Whether accuracy on another data set shows which checkpoint is robust."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from scipy.stats import spearmanr

from torchreid_adv.config import AdvConfig
from torchreid_adv.engines.selection import FILE
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.claims import Case, Claim, Reading
from torchreid_adv.experiments.study import Found, trained_models
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.runs.attack_dataset import run_or_read
from torchreid_adv.runs.inputs import configured_dataset, load_spec

RECIPES = {"N": [], "DL": ["diversity"]}  # transforms added to the config's
ACROSS, CLEAN, ATTACKED = "across data sets", "clean", "attacked"
CHECKPOINTS = "mAP of every checkpoint"
CHOSEN = "mAP of the checkpoint that is chosen, and of the last"
ONE_TRAINING = "rank correlation with attacked mAP over the checkpoints of one training"
LAST = " (last)"


WHITE = ("clean", "white-box LTA, queries")
TELLS = Claim(
    "Within a training, mAP across data sets ranks checkpoints by robustness (rank correlation "
    "times 100)",
    WHITE,
    margin=0.1,
)
BETTER = Claim(
    "Within a training, mAP across data sets ranks checkpoints by robustness better than clean mAP "
    "does (rank correlation times 100)",
    WHITE,
    margin=0.1,
)
ROBUST = Claim("The checkpoint chosen across data sets keeps more mAP than the last", WHITE)


def _check(cfg: AdvConfig) -> None:
    if not cfg.adv.selection.data:
        raise ConfigError(
            "the study needs adv.selection.data, a data set that is neither trained nor tested on"
        )


@STUDIES.register(
    "selection",
    title="Choosing checkpoints by another data set",
    claims=(TELLS, BETTER, ROBUST),
    check=_check,
)
def selection(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Attack every checkpoint of N and DL that was evaluated in training.

    Args:
        cfg: ``adv.selection.*`` sets how checkpoints are chosen, ``adv.attack.*`` how they are
            attacked.
        seed: of the training.
        specs: the networks, trained like N.
    """
    results: list[Found] = []
    for recipe, extra in RECIPES.items():
        run_cfg = cfg.clone()
        run_cfg.data.transforms = [*cfg.data.transforms, *extra]
        for spec in trained_models(run_cfg, seed, start=cfg) if extra else specs:
            label = f"{spec.label}: {recipe}" if len(specs) > 1 else recipe
            results += _of_training(run_cfg, label, seed, spec)
    return results


def _of_training(cfg: AdvConfig, label: str, seed: int, spec: ModelSpec) -> Iterator[Found]:
    folder = Path(spec.weights).parent
    facts = json.loads((folder.parent / FILE).read_text(encoding="utf-8"))
    points = {}
    for look in facts["epochs"]:
        epoch = int(look["epoch"])
        checkpoint = ModelSpec(
            spec.label, spec.name, str(folder / f"model.pth.tar-{epoch}"), spec.size
        )
        points[epoch] = {ACROSS: look["mAP"], **_attacked(cfg, label, epoch, checkpoint)}
    best, last = points[int(facts["best"]["epoch"])], points[max(points)]
    for epoch, point in points.items():
        row = f"{label}, epoch {epoch}{LAST if point is last else ''}"
        for column, value in point.items():
            yield Reading(CHECKPOINTS, row, column, seed, value)
    for name, point in (("chosen", best), ("last", last)):
        for column, value in point.items():
            yield Reading(CHOSEN, f"{label}, {name}", column, seed, value)
    tells = {other: correlation(list(points.values()), other) for other in (ACROSS, CLEAN)}
    for other, value in tells.items():
        if math.isfinite(value):
            yield Reading(ONE_TRAINING, label, other, seed, value, "number")
    yield Case(TELLS, label, seed, 0.0, tells[ACROSS])
    yield Case(BETTER, label, seed, tells[CLEAN], tells[ACROSS])
    yield Case(ROBUST, label, seed, last[ATTACKED], best[ATTACKED])


def _attacked(cfg: AdvConfig, label: str, epoch: int, spec: ModelSpec) -> dict[str, float]:
    """Return the mAP of a checkpoint, clean and attacked; the mean over data sets."""
    run_cfg = cfg.clone()
    folder = Path(cfg.data.save_dir) / label.replace(": ", "_") / f"epoch{epoch}"
    run_cfg.data.save_dir = str(folder)
    model = load_spec(run_cfg, spec)
    facts = {"name": spec.name, "weights": spec.weights, "size": list(model.size)}
    targets = [configured_dataset(run_cfg, name) for name in dict.fromkeys(run_cfg.data.targets)]
    runs = run_or_read(run_cfg, model, facts, targets, folder, f"{label}, epoch {epoch}")
    pairs = {CLEAN: "clean", ATTACKED: "adversarial"}
    return {
        name: sum(run[key]["mAP"] for run in runs.values()) / len(runs)
        for name, key in pairs.items()
    }


def correlation(points: Sequence[dict[str, float]], other: str) -> float:
    """Return Spearman's rank correlation with attacked mAP; NaN where it is undefined.

    Args:
        points: of each checkpoint of one training.
        other: the measure that attacked mAP is compared with.
    """
    pairs = [(point[other], point[ATTACKED]) for point in points]
    if len(pairs) < 3 or any(len(set(column)) < 2 for column in zip(*pairs, strict=True)):
        return math.nan
    return float(spearmanr(*zip(*pairs, strict=True)).statistic)
