"""Attacks on a sample of the queries, in memory: the curve, and measurements for flags."""

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
from torchreid_adv.core.speaking import progress_bar
from torchreid_adv.data.datasets import Record
from torchreid_adv.data.loading import batches as parts_of
from torchreid_adv.data.loading import read_groups
from torchreid_adv.models.features import device_of
from torchreid_adv.models.prepare import prepared
from torchreid_adv.standard.ensemble import apgd
from torchreid_adv.standard.scores import QueryScores, median_breaking_bound
from torchreid_adv.standard.session import Session

_LAST = 10  # the last steps, which should no longer change the loss much


def sample(records: Sequence[Record], valid: np.ndarray, count: int) -> list[Record]:
    """Return ``count`` evenly spread queries among those that have a match, at most all."""
    held = np.flatnonzero(valid)
    places = np.linspace(0, len(held) - 1, min(count, len(held))).round().astype(int)
    return [records[row] for row in held[places]]


def batches(session: Session, records: Sequence[Record]) -> list[tuple[Batch, list[np.ndarray]]]:
    """Return records as canonical chunks: filled batches on the model's device, and the images."""
    groups = chunks(records, session.version.chunk)
    device, loaded = device_of(session.model), []
    for group, images in zip(groups, read_groups(groups, workers=session.workers), strict=True):
        for rows, batch in parts_of(group, images, session.version.chunk):
            loaded.append((batch.to(device), images[rows]))
    return loaded


@dataclass(frozen=True)
class SampleOutcome:
    """The outcome of one attack on the sample.

    Args:
        scores: of the rounded images.
        traces: (steps + 1, n) losses.
        silent: images with an earlier point that was better than the returned one.
    """

    scores: QueryScores
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


def attacked(session: Session, records: Sequence[Record], attack: GradientAttack) -> SampleOutcome:
    """Attack the sample and score the images that would be stored."""
    references, images, traces, silent = session.references("Q"), [], [], 0
    parts = batches(session, records)
    with prepared(session.model, parts[0][0].images) as ready:
        for batch, clean in parts:
            adversarial = attack(ready, batch, references)
            n, originals = len(clean), batch.images.cpu()
            levels = pixels.to_uint8(
                pixels.quantize(adversarial.images.cpu(), originals, attack.linf)[:n]
            )
            images += [
                stored[: i.shape[0], : i.shape[1]] for stored, i in zip(levels, clean, strict=True)
            ]
            traces.append(adversarial.trace[:, :n].cpu())
            if attack.keep == "best":
                silent += int((adversarial.after < adversarial.trace.amax(0))[:n].sum())
    scores = session.judge.score_pixels(images, records)
    return SampleOutcome(scores, torch.cat(traces, 1), silent)


def run_trials(session: Session, records: Sequence[Record], chance: float) -> dict[str, Any]:
    """Return the facts of all trials: the curve point by point, then measurements for flags.

    Args:
        session: of the run.
        records: the sample.
        chance: mean expected average precision of a random order, of the sample.
    """
    names = [record.image_id for record in records]
    rows = np.isin(session.judge.query.image_ids, names)
    version, first = session.version, session.version.eps[0]
    bounds = version.curve
    _share_out(session, records, rows)
    points = {bound: _point(session, records, rows, bound, version.steps) for bound in bounds}
    base = _point(session, records, rows, first, version.steps)
    doubled = _point(session, records, rows, first, 2 * version.steps)
    hits = np.array([points[bound]["hits"] for bound in bounds])
    return {
        "curve": {bound: float(np.mean(points[bound]["ap"])) for bound in bounds},
        "rank1": {bound: float(np.mean(points[bound]["hits"])) for bound in bounds},
        "median_eps": median_breaking_bound(hits, bounds),
        "single": _single(session, records, rows, first),
        "iterative": float(np.mean(base["push"])),
        "doubled": float(np.mean(doubled["ap"])),
        "converged": float(np.mean(base["ap"])),
        "moving": base["moving"],
        "silent": sum(int(point["silent"]) for point in points.values()),
        "chance": chance,
        "queries": len(records),
    }


def _share_out(session: Session, records: Sequence[Record], rows: np.ndarray) -> None:
    """Compute, shared by the team, everything that is read back later."""
    version, first = session.version, session.version.eps[0]
    points = {(bound, version.steps) for bound in (*version.curve, first)}
    pairs = sorted(points | {(first, 2 * version.steps)})
    alone = dataclasses.replace(session, team=ALONE)  # no process waits for these
    with progress_bar("attacks on a sample", total=len(pairs) + 1, unit="attack") as bar:
        for number, (bound, steps) in enumerate(pairs):
            if session.team.does(number):
                _point(alone, records, rows, bound, steps)
            bar.update(1)
        if session.team.does(len(pairs)):
            _single(alone, records, rows, first)
        bar.update(1)
    session.team.wait()


def clean_facts(clean: QueryScores, rows: np.ndarray, chance: float) -> dict[str, Any]:
    """Return the facts of a sample without gradient attacks.

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
    session: Session, records: Sequence[Record], rows: np.ndarray, bound: int, steps: int
) -> dict[str, Any]:
    """Return average precisions and first hits of the sample under push and margin at a bound."""

    def compute() -> dict[str, Any]:
        clean = session.clean()
        ap, hits = clean.ap[rows], clean.hits[rows, 0]
        facts: dict[str, Any] = {"push": ap.tolist(), "moving": 0.0, "silent": 0}
        if bound and session.gradient:
            for objective in (MetricDistance(session.attacked), RankMargin(session.attacked)):
                budget = Budget.of_levels(eps=bound, steps=steps)
                outcome = attacked(session, records, apgd(objective, budget))
                precision = outcome.scores.ap[rows]
                if isinstance(objective, MetricDistance):
                    facts |= {"push": precision.tolist(), "moving": outcome.moving}
                facts["silent"] += outcome.silent
                ap, hits = np.fmin(ap, precision), np.fmin(hits, outcome.scores.hits[rows, 0])
        return {**facts, "ap": ap.tolist(), "hits": hits.tolist()}

    return session.kept(f"trials/eps{bound}-steps{steps}", "", compute)


def _single(session: Session, records: Sequence[Record], rows: np.ndarray, bound: int) -> float:
    """Return the mAP of the sample under one sign step of the bound's length."""

    def compute() -> dict[str, Any]:
        if not session.gradient:
            return {"mAP": float(session.clean().ap[rows].mean())}
        eps = pixels.from_levels(bound)
        rule = functools.partial(SignStep, lr=eps)
        attack = GradientAttack(MetricDistance(session.attacked), LinfDelta(eps), rule, 1)
        return {"mAP": float(attacked(session, records, attack).scores.ap[rows].mean())}

    return float(session.kept(f"trials/single-eps{bound}", "", compute)["mAP"])
