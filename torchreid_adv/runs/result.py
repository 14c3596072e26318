"""What came of a run: scores by its protocol, and what results.json says of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F

from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.evaluation import RetrievalResult
from torchreid_adv.evaluation.attacked import TargetReport
from torchreid_adv.evaluation.of_models import positive_distance
from torchreid_adv.evaluation.protocol import Protocol, Sides
from torchreid_adv.evaluation.result import Scores
from torchreid_adv.evaluation.targeted import success, target_ranks
from torchreid_adv.models import Features
from torchreid_adv.runs.stored import Variant


@dataclass(frozen=True)
class Scoring:
    """Scores by a protocol, printed where they have a title.

    Args:
        protocol: the rules, of the data set that is scored.
        team: this process and those it shares the work with.
    """

    protocol: Protocol
    team: Team = ALONE

    def score(self, sides: Sides, title: str = "") -> Scores:
        """Score the ranking and, where it is asked for and shown, the re-ranked one.

        Args:
            sides: features of ``query`` and ``gallery``.
            title: what is printed above the scores; "" = nothing is printed.
        """
        protocol = self.protocol if title else self.protocol.plain
        scores = protocol.score(sides, team=self.team)
        _print(title, scores.plain)
        if scores.reranked is not None:
            _print(f"{title}, re-ranked", scores.reranked)
        return scores

    def pulled(self, targets: Mapping[str, int], clean: Sides, after: Sides) -> dict[str, Any]:
        """Return how often pulled images come up for their targets, before and after; print it.

        Args:
            targets: image_id -> the identity it was pulled to.
            clean: features before the attack.
            after: features after it.
        """
        found = {
            name: success(
                target_ranks(sides["query"], sides["gallery"], targets, self.protocol),
                len(targets),
            )
            for name, sides in (("clean", clean), ("adversarial", after))
        }
        print("** Pulled images among the first k of a list of their target **")
        for name, facts in found.items():
            shares = ", ".join(f"{k}: {share:.1%}" for k, share in facts["success"].items())
            print(f"{name:<12}{shares}")
        return found


def _print(title: str, result: RetrievalResult) -> None:
    if title:
        print(f"** {title} **", *result.lines(), sep="\n")


def query_curve(
    scoring: Scoring, variant: Variant, clean: Sides, side: str, scores: dict[str, Scores]
) -> dict[str, Any] | None:
    """Return mAP against the answers asked for each image, and print it; None if none are asked.

    It starts at the clean images, whose own answer is the first, and ends at the adversarial ones;
    all are scored before they are rounded to whole gray levels.

    Args:
        scoring: the rules of the evaluation.
        variant: what was stored.
        clean: features before the attack.
        side: which one was attacked.
        scores: ``clean`` and ``adversarial_float``.

    Returns:
        ``queries``, ``mAP`` in [0, 1], and ``objective``: the mean of what the attack raises.
    """
    if "queries" not in variant.facts:
        return None
    means = [scores["clean"].plain.mAP]
    for features in variant.stages.values():
        passed = {**clean, side: clean[side].replace(features())}
        means.append(scoring.score(passed).plain.mAP)
    means.append(scores["adversarial_float"].plain.mAP)
    asked = [1, *variant.stages, int(variant.facts["queries"].max())]
    points = ", ".join(f"{n}: {mean:.1%}" for n, mean in zip(asked, means, strict=True))
    print(f"mAP by answers asked for each image, before rounding: {points}")
    objective = variant.facts["losses"].mean(1).tolist()
    return {"queries": asked, "mAP": means, "objective": objective}


def own_figure(variant: Variant, attack: dict[str, Any]) -> dict[str, Any] | None:
    """Return the mean figure of an attack on ranks before and after, and print it; else None.

    Args:
        variant: what was stored.
        attack: its description.
    """
    if "figure_before" not in variant.facts:
        return None
    name, of, unit = (attack[f"figure{part}"] for part in ("", "_of", "_unit"))
    before, after = (variant.facts[f"figure_{time}"] for time in ("before", "after"))
    figure = {"name": name, "of": of, "unit": unit}
    figure |= {"clean": float(before.mean()), "adversarial": float(after.mean())}
    print(
        f"{name.capitalize()} of {of} ({unit}), mean of {len(before)} images before rounding: "
        f"clean {figure['clean']:.3g}, adversarial {figure['adversarial']:.3g}"
    )
    return figure


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
