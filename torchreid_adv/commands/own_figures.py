"""What an attack measures of itself: the curve of one that asks, the figure of one on ranks."""

from __future__ import annotations

from typing import Any

from torchreid_adv.attacks.variant import Variant
from torchreid_adv.commands.scoring import Scoring
from torchreid_adv.evaluation.protocol import Sides
from torchreid_adv.evaluation.results import Scores


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
