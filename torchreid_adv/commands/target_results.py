"""What results.json and the report say of one attacked data set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F

from torchreid_adv.attacks.variant import Variant
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.evaluation.positives import positive_distance
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.evaluation.results import Scores
from torchreid_adv.models import Features
from torchreid_adv.report.target import TargetReport


@dataclass(frozen=True)
class Scored:
    """How a data set was attacked and what came out.

    Args:
        attack: description of the attack.
        protocol: the rules of the scores.
        clean: features of ``query`` and ``gallery`` before.
        after: the same after the attack.
        scores: ``clean``, ``adversarial`` and ``adversarial_float``.
        targeted: of a targeted attack, how often its images come up for their targets.
        query_curve: of an attack by queries, mAP against answers asked.
        figure: of an attack on ranks, its own figure before and after.
        pulled: of a targeted attack, image_id -> the identity it was pulled to.
    """

    attack: dict[str, Any]
    protocol: Protocol
    clean: dict[str, Features]
    after: dict[str, Features]
    scores: dict[str, Scores]
    targeted: dict[str, Any] | None = None
    query_curve: dict[str, Any] | None = None
    figure: dict[str, Any] | None = None
    pulled: dict[str, int] = field(default_factory=dict)


def target_report(
    data: ReIDData, variant: Variant, scored: Scored, side: str, linf: float | None
) -> TargetReport:
    """Return what the report is told of a data set.

    Args:
        data: the data set as it was attacked.
        variant: what was stored.
        scored: what came out.
        side: which one was attacked.
        linf: bound of the attack in [0, 1], None for one without.
    """
    stored = variant.data(data)
    paths = {r.image_id: r.path for s in scored.clean for r in data.side(s)}
    return TargetReport(
        name=data.name,
        results=measured(variant, scored),
        query=scored.clean["query"],
        gallery=scored.clean["gallery"],
        query_after=scored.after["query"],
        gallery_after=scored.after["gallery"],
        paths=paths,
        paths_after=paths | {r.image_id: r.path for s in scored.clean for r in stored.side(s)},
        attacked=variant.attacked,
        side=side,
        eps=linf or 1.0,
        protocol=scored.protocol,
        pulled=scored.pulled,
    )


def measured(variant: Variant, scored: Scored) -> dict[str, Any]:
    """Return what results.json says of a data set."""
    measures = {name: score.to_dict() for name, score in scored.scores.items()}
    clean, after = measures["clean"]["mAP"], measures["adversarial"]["mAP"]
    return {
        "attack": scored.attack,
        **measures,
        "ap_rule": scored.protocol.ap_rule,
        "protocol": scored.protocol.facts(),
        "map_ratio": after / max(clean, 1e-12),
        "positive_distance": {
            "clean": positive_distance(*_pair(scored.clean), scored.protocol),
            "adversarial": positive_distance(*_pair(scored.after), scored.protocol),
        },
        "feature_shift": _shift(variant, scored),
        **_counts(variant),
        "targeted": scored.targeted,
        "query_curve": scored.query_curve,
        "figure": scored.figure,
        "defense": None,
    }


def _shift(variant: Variant, scored: Scored) -> float:
    """Return the mean cosine distance, [0, 2], by which attacked images' features moved."""
    moved = [
        F.cosine_similarity(before.values[rows], scored.after[side].values[rows])
        for side, before in scored.clean.items()
        if (rows := [i for i, name in enumerate(before.image_ids) if name in variant.attacked])
    ]
    return 1 - float(torch.cat(moved).double().mean())


def _counts(variant: Variant) -> dict[str, Any]:
    manifest = variant.manifest
    attacked = [entry for entry in manifest.stored if entry.attacked]
    return {
        "linf": {
            "max": max(entry.linf for entry in manifest.stored),
            "mean": sum(entry.linf for entry in attacked) / len(attacked),
        },
        "images": {
            "total": len(manifest.stored),
            "attacked": len(attacked),
            "unchanged": sum(not entry.changed for entry in attacked),
            "left_out": len(manifest.entries) - len(manifest.stored),
        },
        **_tracklets(variant),
        "images_per_second": len(attacked) / max(variant.seconds, 1e-9),
        "root": manifest.root,
    }


def _tracklets(variant: Variant) -> dict[str, Any]:
    """Return how many tracklets the frames are of; nothing for single images."""
    total = {entry.tracklet for entry in variant.manifest.stored if entry.tracklet}
    return {"tracklets": {"total": len(total), "attacked": len(variant.attacked)}} if total else {}


def _pair(sides: dict[str, Features]) -> tuple[Features, Features]:
    return sides["query"], sides["gallery"]
