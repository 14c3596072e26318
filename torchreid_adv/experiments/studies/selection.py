"""Whether accuracy on another data set tells which checkpoint is robust."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from torchreid_adv.config import AdvConfig
from torchreid_adv.engines.selection import FILE
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.claims import Comparison, Reading
from torchreid_adv.experiments.study import Found, trained_models
from torchreid_adv.models.specs import ModelSpec
from torchreid_adv.registry import STUDIES
from torchreid_adv.runs.attack_dataset import kept_run
from torchreid_adv.runs.inputs import configured_dataset, load_spec

RECIPES = {"N": [], "DL": ["diversity"]}  # transforms beside the config's own
ACROSS, CLEAN, ATTACKED = "across data sets", "clean", "attacked"
CHECKPOINTS = "mAP of every checkpoint"
CHOSEN = "mAP of the checkpoint that is chosen, and of the last"
ONE_TRAINING = "rank correlation with attacked mAP over the checkpoints of one training"
LAST = " (last)"


def summary(readings: Sequence[Reading]) -> str:
    """Return the rank correlations over all seeds, with their p-values."""
    lines = ["### rank correlation (Spearman) with attacked mAP over all seeds", ""]
    lines += ["| of | checkpoints | across data sets | clean |", "|---|---|---|---|"]
    points = _points(readings)
    groups = {"all checkpoints": points, "last checkpoints": [p for p in points if p[LAST]]}
    for name, group in groups.items():
        cells = [_correlation(group, other) for other in (ACROSS, CLEAN)]
        shown = [f"{value:.2f} (p {p:.3f})" if value is not None else "" for value, p in cells]
        lines.append(f"| {name} | {len(group)} | {' | '.join(shown)} |")
    return "\n".join(lines)


@STUDIES.register(
    "selection", title="Choosing checkpoints by another data set: what holds", summary=summary
)
def selection(cfg: AdvConfig, seed: int, specs: list[ModelSpec]) -> list[Found]:
    """Attack every checkpoint of N and DL that was looked at in training.

    Args:
        cfg: ``adv.selection.*`` says by what checkpoints are chosen, ``adv.attack.*`` how they are
            attacked.
        seed: of the training.
        specs: the networks, as N.

    Raises:
        ConfigError: no data set to choose by.
    """
    if not cfg.adv.selection.data:
        raise ConfigError(
            "the study needs adv.selection.data, a data set that is neither trained nor tested on"
        )
    found: list[Found] = []
    for recipe, extra in RECIPES.items():
        own = cfg.clone()
        own.data.transforms = [*cfg.data.transforms, *extra]
        for spec in trained_models(own, seed) if extra else specs:
            label = f"{spec.label}: {recipe}" if len(specs) > 1 else recipe
            found += _of_training(own, label, seed, spec)
    return found


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
    chosen, last = points[int(facts["best"]["epoch"])], points[max(points)]
    for epoch, point in points.items():
        row = f"{label}, epoch {epoch}{LAST if point is last else ''}"
        for column, value in point.items():
            yield Reading(CHECKPOINTS, row, column, seed, value)
    for name, point in (("chosen", chosen), ("last", last)):
        for column, value in point.items():
            yield Reading(CHOSEN, f"{label}, {name}", column, seed, value)
    for other in (ACROSS, CLEAN):
        value, _ = _correlation(list(points.values()), other)
        if value is not None:
            yield Reading(ONE_TRAINING, label, other, seed, value, "number")
    claim = "the checkpoint chosen across data sets is no less robust than the last"
    yield Comparison(claim, label, seed, last[ATTACKED], chosen[ATTACKED])


def _attacked(cfg: AdvConfig, label: str, epoch: int, spec: ModelSpec) -> dict[str, float]:
    """Return the mAP of a checkpoint, clean and attacked; the mean over data sets."""
    own = cfg.clone()
    folder = Path(cfg.data.save_dir) / label.replace(": ", "_") / f"epoch{epoch}"
    own.data.save_dir = str(folder)
    model = load_spec(own, spec)
    facts = {"name": spec.name, "weights": spec.weights, "size": list(model.size)}
    targets = [configured_dataset(own, name) for name in dict.fromkeys(own.data.targets)]
    runs = kept_run(own, model, facts, targets, folder, f"{label}, epoch {epoch}")
    pairs = {CLEAN: "clean", ATTACKED: "adversarial"}
    return {
        name: sum(run[key]["mAP"] for run in runs.values()) / len(runs)
        for name, key in pairs.items()
    }


def _correlation(points: Sequence[dict[str, Any]], other: str) -> tuple[float | None, float]:
    """Return Spearman's rank correlation with attacked mAP and its p-value; None = undefined."""
    pairs = [(point[other], point[ATTACKED]) for point in points]
    if len(pairs) < 3 or any(len(set(column)) < 2 for column in zip(*pairs, strict=True)):
        return None, 1.0
    value, p = spearmanr(*zip(*pairs, strict=True))
    return float(value), float(p)


def _points(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """Return the checkpoints that a study's readings tell of."""
    points: dict[tuple[str, int], dict[str, Any]] = {}
    for reading in readings:
        if reading.table == CHECKPOINTS:
            point = points.setdefault((reading.row, reading.seed), {LAST: LAST in reading.row})
            point[reading.column] = reading.value
    return list(points.values())
