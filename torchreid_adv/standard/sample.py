"""Attacks on a sample of the queries, in memory: the curve, and what flags need."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchreid_adv.attacks import Budget, GradientAttack, LinfDelta, MetricDistance, SignStep
from torchreid_adv.attacks.average_precision import RankMargin
from torchreid_adv.core import pixels
from torchreid_adv.core.batch import Batch, chunks
from torchreid_adv.core.processes import ALONE
from torchreid_adv.data.datasets import Record
from torchreid_adv.data.loading import batches as parts_of
from torchreid_adv.data.loading import read_groups
from torchreid_adv.models.features import device_of
from torchreid_adv.models.prepare import prepared
from torchreid_adv.standard.ensemble import apgd
from torchreid_adv.standard.scores import Scores, median_breaking_bound
from torchreid_adv.standard.session import Setting

_LAST = 10  # steps that should no longer move much


def sample(records: Sequence[Record], valid: np.ndarray, count: int) -> list[Record]:
    """Return ``count`` queries that have a match, spread evenly over all such, or all of them."""
    held = np.flatnonzero(valid)
    places = np.linspace(0, len(held) - 1, min(count, len(held))).round().astype(int)
    return [records[row] for row in held[places]]


def batches(setting: Setting, records: Sequence[Record]) -> list[tuple[Batch, list[np.ndarray]]]:
    """Return records as canonical chunks: filled batches on the model's device, and the images."""
    groups = chunks(records, setting.version.chunk)
    device, found = device_of(setting.model), []
    for group, images in zip(groups, read_groups(groups, workers=setting.workers), strict=True):
        for rows, batch in parts_of(group, images, setting.version.chunk):
            found.append((batch.to(device), images[rows]))
    return found


@dataclass(frozen=True)
class Outcome:
    """What one attack did to the sample.

    Args:
        scores: of the rounded images.
        traces: (steps + 1, n) losses.
        silent: images of which an earlier point was better than the returned one.
    """

    scores: Scores
    traces: Tensor
    silent: int

    @property
    def moving(self) -> float:
        """Share of the range of the best losses that the last ten steps added, mean over images."""
        best = self.traces.cummax(0).values
        if len(best) <= _LAST + 1:
            return 0.0
        span = best[-1] - best[0]
        added = (best[-1] - best[-1 - _LAST]) / span.clamp_min(torch.finfo(span.dtype).tiny)
        return float(added[span > 0].mean()) if bool((span > 0).any()) else 0.0


def attacked(setting: Setting, records: Sequence[Record], attack: GradientAttack) -> Outcome:
    """Attack the sample and score what would be stored."""
    references, images, traces, silent = setting.references("Q"), [], [], 0
    parts = batches(setting, records)
    with prepared(setting.model, parts[0][0].images) as ready:
        for batch, clean in parts:
            found = attack(ready, batch, references)
            n, own = len(clean), batch.images.cpu()
            levels = pixels.to_uint8(pixels.quantize(found.images.cpu(), own, attack.linf)[:n])
            images += [
                stored[: i.shape[0], : i.shape[1]] for stored, i in zip(levels, clean, strict=True)
            ]
            traces.append(found.trace[:, :n].cpu())
            if attack.keep == "best":
                silent += int((found.after < found.trace.amax(0))[:n].sum())
    scores = setting.judge.score_pixels(images, records)
    return Outcome(scores, torch.cat(traces, 1), silent)


def run_trials(setting: Setting, records: Sequence[Record], chance: float) -> dict[str, Any]:
    """Return the facts of all trials: the curve point by point, then what flags ask for.

    Args:
        setting: of the run.
        records: the sample.
        chance: mean expected average precision of a random order, of the sample.
    """
    names = [record.image_id for record in records]
    rows = np.isin(setting.judge.query.image_ids, names)
    version, first = setting.version, setting.version.eps[0]
    bounds = version.curve
    _share_out(setting, records, rows)
    points = {bound: _point(setting, records, rows, bound, version.steps) for bound in bounds}
    base = _point(setting, records, rows, first, version.steps)
    doubled = _point(setting, records, rows, first, 2 * version.steps)
    hits = np.array([points[bound]["hits"] for bound in bounds])
    return {
        "curve": {bound: float(np.mean(points[bound]["ap"])) for bound in bounds},
        "rank1": {bound: float(np.mean(points[bound]["hits"])) for bound in bounds},
        "median_eps": median_breaking_bound(hits, bounds),
        "single": _single(setting, records, rows, first),
        "iterative": float(np.mean(base["push"])),
        "doubled": float(np.mean(doubled["ap"])),
        "converged": float(np.mean(base["ap"])),
        "moving": base["moving"],
        "silent": sum(int(point["silent"]) for point in points.values()),
        "chance": chance,
        "queries": len(records),
    }


def _share_out(setting: Setting, records: Sequence[Record], rows: np.ndarray) -> None:
    """Compute, with the others of the team, all that is read back afterwards."""
    version, first = setting.version, setting.version.eps[0]
    wanted = {(bound, version.steps) for bound in (*version.curve, first)}
    pairs = sorted(wanted | {(first, 2 * version.steps)})
    alone = dataclasses.replace(setting, team=ALONE)  # nobody waits for one of these
    for number, (bound, steps) in enumerate(pairs):
        if setting.team.does(number):
            _point(alone, records, rows, bound, steps)
    if setting.team.does(len(pairs)):
        _single(alone, records, rows, first)
    setting.team.wait()


def clean_facts(clean: Scores, rows: np.ndarray, chance: float) -> dict[str, Any]:
    """Return the facts of a sample that no attack by gradients can be made on.

    Args:
        clean: scores without an attack.
        rows: (Q,) which queries are in the sample.
        chance: mean expected average precision of a random order, of the sample.
    """
    return {
        "curve": {0: float(clean.ap[rows].mean())},
        "rank1": {0: float(clean.hits[rows, 0].mean())},
        "median_eps": None,
        "chance": chance,
        "queries": int(rows.sum()),
    }


def _point(
    setting: Setting, records: Sequence[Record], rows: np.ndarray, bound: int, steps: int
) -> dict[str, Any]:
    """Return average precisions and first hits of the sample under push and margin at a bound."""

    def compute() -> dict[str, Any]:
        clean = setting.clean()
        ap, hits = clean.ap[rows], clean.hits[rows, 0]
        facts: dict[str, Any] = {"push": ap.tolist(), "moving": 0.0, "silent": 0}
        if bound and setting.gradient:
            for objective in (MetricDistance(setting.attacked), RankMargin(setting.attacked)):
                budget = Budget.of_levels(eps=bound, steps=steps)
                found = attacked(setting, records, apgd(objective, budget))
                own = found.scores.ap[rows]
                if isinstance(objective, MetricDistance):
                    facts |= {"push": own.tolist(), "moving": found.moving}
                facts["silent"] += found.silent
                ap, hits = np.fmin(ap, own), np.fmin(hits, found.scores.hits[rows, 0])
        return {**facts, "ap": ap.tolist(), "hits": hits.tolist()}

    return setting.kept(f"trials/eps{bound}-steps{steps}", "", compute)


def _single(setting: Setting, records: Sequence[Record], rows: np.ndarray, bound: int) -> float:
    """Return the mAP of the sample under one sign step of the bound's length."""

    def compute() -> dict[str, Any]:
        if not setting.gradient:
            return {"mAP": float(setting.clean().ap[rows].mean())}
        eps = pixels.from_levels(bound)
        rule = functools.partial(SignStep, lr=eps)
        attack = GradientAttack(MetricDistance(setting.attacked), LinfDelta(eps), rule, 1)
        return {"mAP": float(attacked(setting, records, attack).scores.ap[rows].mean())}

    return float(setting.kept(f"trials/single-eps{bound}", "", compute)["mAP"])
