"""The outcome of a run: scores by its protocol, and a data set's entry in results.json."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F

from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.evaluation import RetrievalResult
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.evaluation.of_models import positive_distance
from torchreid_adv.evaluation.protocol import Protocol, Sides
from torchreid_adv.evaluation.result import Scores
from torchreid_adv.evaluation.targeted import success, target_ranks
from torchreid_adv.models import Features
from torchreid_adv.runs.stored import StoredImages

_ON_ONE_LINE: ContextVar[bool] = ContextVar("on_one_line", default=False)


@dataclass(frozen=True)
class Scoring:
    """Scores by a protocol, printed if they have a title.

    Args:
        protocol: the rules, of the data set that is scored.
        team: this process and those it shares the work with.
    """

    protocol: Protocol
    team: Team = ALONE

    def score(self, sides: Sides, title: str = "") -> Scores:
        """Score the ranking and, if configured, the re-ranked one.

        Args:
            sides: features of ``query`` and ``gallery``.
            title: printed above the scores; "" = nothing is printed.
        """
        protocol = self.protocol if title else self.protocol.plain
        scores = protocol.score(sides, team=self.team)
        _print(title, scores.plain)
        if scores.reranked is not None:
            _print(f"{title}, re-ranked", scores.reranked)
        return scores

    def pulled(self, targets: Mapping[str, int], clean: Sides, after: Sides) -> dict[str, Any]:
        """Return how often pulled images are found for their targets, before and after; print it.

        Args:
            targets: image_id -> the identity it was pulled to.
            clean: features before the attack.
            after: features after it.
        """
        successes = {
            name: success(
                target_ranks(sides["query"], sides["gallery"], targets, self.protocol),
                len(targets),
            )
            for name, sides in (("clean", clean), ("adversarial", after))
        }
        print("** Pulled images among the first k of a list of their target **")
        for name, facts in successes.items():
            shares = ", ".join(f"{k}: {share:.1%}" for k, share in facts["success"].items())
            print(f"{name:<12}{shares}")
        return successes


@contextlib.contextmanager
def on_one_line() -> Iterator[None]:
    """Inside the block scores are printed on a line each, as many runs need it."""
    token = _ON_ONE_LINE.set(True)
    try:
        yield
    finally:
        _ON_ONE_LINE.reset(token)


def _print(title: str, result: RetrievalResult) -> None:
    if not title:
        return
    if _ON_ONE_LINE.get():
        print(
            f"{title}: mAP {result.mAP:.1%}, Rank-1 {result.rank(1):.1%}", *result.notes(), sep="; "
        )
    else:
        print(f"** {title} **", *result.lines(), sep="\n")


def query_curve(
    scoring: Scoring,
    stored_images: StoredImages,
    clean: Sides,
    side: str,
    scores: dict[str, Scores],
) -> dict[str, Any] | None:
    """Return mAP against the answers asked for each image, and print it; None if none are asked.

    It starts at the clean images, whose answer is the first, and ends at the adversarial ones;
    all are scored before they are rounded to whole gray levels.

    Args:
        scoring: the rules of the evaluation.
        stored_images: of the attack.
        clean: features before the attack.
        side: that was attacked.
        scores: ``clean`` and ``adversarial_float``.

    Returns:
        ``queries``, ``mAP`` in [0, 1], and ``objective``: the mean objective of the attack.
    """
    if "queries" not in stored_images.facts:
        return None
    means = [scores["clean"].plain.mAP]
    for features in stored_images.stages.values():
        passed = {**clean, side: clean[side].replace(features())}
        means.append(scoring.score(passed).plain.mAP)
    means.append(scores["adversarial_float"].plain.mAP)
    asked = [1, *stored_images.stages, int(stored_images.facts["queries"].max())]
    points = ", ".join(f"{n}: {mean:.1%}" for n, mean in zip(asked, means, strict=True))
    print(f"mAP by answers asked for each image, before rounding: {points}")
    objective = stored_images.facts["losses"].mean(1).tolist()
    return {"queries": asked, "mAP": means, "objective": objective}


def own_figure(stored_images: StoredImages, attack: dict[str, Any]) -> dict[str, Any] | None:
    """Return an attack's own measure on ranks before and after, and print it; None without one.

    Args:
        stored_images: of the attack.
        attack: its description.
    """
    if "figure_before" not in stored_images.facts:
        return None
    name, of, unit = (attack[f"figure{part}"] for part in ("", "_of", "_unit"))
    before, after = (stored_images.facts[f"figure_{time}"] for time in ("before", "after"))
    figure = {"name": name, "of": of, "unit": unit}
    figure |= {"clean": float(before.mean()), "adversarial": float(after.mean())}
    print(
        f"{name.capitalize()} of {of} ({unit}), mean of {len(before)} images before rounding: "
        f"clean {figure['clean']:.3g}, adversarial {figure['adversarial']:.3g}"
    )
    return figure


@dataclass(frozen=True)
class RunResult:
    """The attack on a data set and its outcome.

    Args:
        attack: description of the attack.
        protocol: the rules of the scores.
        clean: features of ``query`` and ``gallery`` before.
        after: the same after the attack.
        scores: ``clean``, ``adversarial`` and ``adversarial_float``.
        targeted: of a targeted attack, how often its images are found for their targets.
        query_curve: of an attack by queries, mAP against answers asked.
        figure: of an attack on ranks, its own measure before and after.
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
    data: ReIDData, stored_images: StoredImages, scored: RunResult, side: str, linf: float | None
) -> AttackedData:
    """Return the report's data on a data set.

    Args:
        data: the attacked data set.
        stored_images: of the attack.
        scored: its outcome.
        side: that was attacked.
        linf: bound of the attack in [0, 1], None for an attack without one.
    """
    stored = stored_images.data(data)
    paths = {r.image_id: r.path for s in scored.clean for r in data.side(s)}
    return AttackedData(
        name=data.name,
        results=measured(stored_images, scored),
        query=scored.clean["query"],
        gallery=scored.clean["gallery"],
        query_after=scored.after["query"],
        gallery_after=scored.after["gallery"],
        paths=paths,
        paths_after=paths | {r.image_id: r.path for s in scored.clean for r in stored.side(s)},
        attacked=stored_images.attacked,
        side=side,
        eps=linf or 1.0,
        protocol=scored.protocol,
        pulled=scored.pulled,
        warnings=data.warnings,
    )


def measured(stored_images: StoredImages, scored: RunResult) -> dict[str, Any]:
    """Return a data set's entry in results.json."""
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
        "feature_shift": _shift(stored_images, scored),
        **_counts(stored_images),
        "targeted": scored.targeted,
        "query_curve": scored.query_curve,
        "figure": scored.figure,
        "defense": None,
    }


def _shift(stored_images: StoredImages, scored: RunResult) -> float:
    """Return the mean cosine distance, [0, 2], that the attacked images' features moved."""
    moved = [
        F.cosine_similarity(before.values[rows], scored.after[side].values[rows])
        for side, before in scored.clean.items()
        if (
            rows := [i for i, name in enumerate(before.image_ids) if name in stored_images.attacked]
        )
    ]
    return 1 - float(torch.cat(moved).double().mean())


def _counts(stored_images: StoredImages) -> dict[str, Any]:
    manifest = stored_images.manifest
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
        **_tracklets(stored_images),
        "images_per_second": len(attacked) / max(stored_images.seconds, 1e-9),
        "root": manifest.root,
    }


def _tracklets(stored_images: StoredImages) -> dict[str, Any]:
    """Return the number of tracklets of the frames; empty for single images."""
    total = {entry.tracklet for entry in stored_images.manifest.stored if entry.tracklet}
    return (
        {"tracklets": {"total": len(total), "attacked": len(stored_images.attacked)}}
        if total
        else {}
    )


def _pair(sides: dict[str, Features]) -> tuple[Features, Features]:
    return sides["query"], sides["gallery"]
