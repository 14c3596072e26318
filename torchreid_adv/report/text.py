"""Numbers and sentences of a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.distances import Distance, LinearDistance
from torchreid_adv.distances.base import Cosine, Euclidean
from torchreid_adv.report.units import DISTANCE, PERCENT, PLAIN


def percent(value: float | None) -> str:
    """Format a rate of [0, 1] with one decimal, below 1 % with two; a dash for none."""
    return PERCENT.shown(value)


def number(value: float | None) -> str:
    """Format a number with three significant digits; a dash for none."""
    return PLAIN.shown(value)


def fixed(value: float | None) -> str:
    """Format a distance or a similarity with three decimals (fewer from ten on)."""
    return DISTANCE.shown(value)


def moved(positions: tuple[int, int]) -> str:
    """Return an image's positions in a list before and after the attack."""
    return f"{positions[0]:,} \N{RIGHTWARDS ARROW} {positions[1]:,}"


def levels(value: float) -> str:
    """Format gray levels with their unit."""
    return f"{number(value)} gray level{'' if value == 1 else 's'}"


def describe_distance(distance: Distance) -> str:
    """Return the kind of distance in words."""
    if type(distance) is Cosine:
        return "cosine distance"
    name = distance.name
    if type(distance) is Euclidean:
        name = "squared Euclidean"
    elif isinstance(distance, LinearDistance):
        name = type(distance).__name__
    return f"{name} distance{' of unit features' if distance.normalize else ''}"


def similarity(distance: Distance, value: float) -> float | None:
    """Return the cosine similarity that a distance corresponds to, None if there is none."""
    if type(distance) is Cosine:
        return 1 - value
    if type(distance) is Euclidean and distance.normalize:
        return 1 - value / 2
    return None


def headline(model: str, target: str, side: str, eps: float, results: dict[str, Any]) -> str:
    """Return a sentence on the attack's effect.

    Args:
        model: name of the attacked model.
        target: name of the data set.
        side: ``gallery`` or ``query``.
        eps: bound in gray levels; 255 means that there is none.
        results: ``clean`` and ``adversarial`` measures of the data set.
    """
    clean, adversarial = results["clean"], results["adversarial"]
    before, after = percent(clean["mAP"]), percent(adversarial["mAP"])
    if before == after:
        change = f"stays at {before}"
    else:
        verb = "falls" if adversarial["mAP"] < clean["mAP"] else "rises"
        change = f"{verb} from {before} to {after}"
    first = percent(adversarial["cmc"]["1"]), percent(clean["cmc"]["1"])
    instead = "as before" if first[0] == first[1] else f"instead of {first[1]}"
    bound = (
        f"by at most {number(eps)} of {LEVELS} gray levels" if eps < LEVELS else "without a bound"
    )
    return (
        f"With {side} images changed {bound}, the mAP of {model} on {target} {change}; the first "
        f"match is correct for {first[0]} of the queries {instead}."
    )


def figure_sentence(figure: dict[str, Any]) -> str:
    """Return a sentence on the effect of an attack on ranks by its own measure."""
    before, after = (number(figure[time]) for time in ("clean", "adversarial"))
    return (
        f"By the attack's own measure, the {figure['name']} of {figure['of']} goes from {before} "
        f"to {after} ({figure['unit']}; mean of the attacked images before they are rounded)."
    )


def curve_sentence(curve: dict[str, Any], stored: float) -> str:
    """Return sentences on how quickly an attack by queries lowers the mAP.

    Args:
        curve: ``query_curve`` of a data set's results.
        stored: mAP of the stored images, in [0, 1].
    """
    asked, means = curve["queries"], curve["mAP"]
    lost = means[0] - means[-1]
    sentence = f"The attack asks the model for {number(asked[-1])} answers for each image. "
    if lost > 0:
        half = next(n for n, m in zip(asked, means, strict=True) if means[0] - m >= lost / 2)
        sentence += f"Half of the loss of mAP is reached after {number(half)} of them. "
    end, written = percent(means[-1]), percent(stored)
    also = (
        "they end at the same mAP" if end == written else f"they end at {written} instead of {end}"
    )
    return sentence + (
        f"The curve scores the best images so far before they are rounded to files; when stored, "
        f"{also}."
    )


def defense_sentence(defense: dict[str, Any]) -> str:
    """Return a sentence on the defense under both attacks, or why there is no adaptive one."""
    clean, oblivious = percent(defense["clean"]["mAP"]), percent(defense["oblivious"]["mAP"])
    start = f"Behind the defense {defense['name']}, mAP is {clean} without an attack, {oblivious}"
    if defense.get("adaptive"):
        adaptive = percent(defense["adaptive"]["mAP"])
        return f"{start} under this attack and {adaptive} under an attack through the defense."
    reason = defense.get("adaptive_reason") or "no reason is given"
    return f"{start} under this attack, which does not know it. No adaptive attack: {reason}."


SELF_ATTACK = (
    "Self-attack and its defense change features, only in training; they do not defend against "
    "noise on images, and no such claim has been made."
)


def threat_model(
    attack: dict[str, Any],
    images: dict[str, Any],
    side: str,
    distance: str,
    tracklets: dict[str, Any] | None = None,
    attacked: str = "",
) -> list[tuple[str, str]]:
    """Return the attacker's knowledge, changes and measure of success: pairs (aspect, answer).

    Args:
        attack: its description in results.json.
        images: the counts there.
        side: that was attacked.
        distance: the metric of the evaluation, in words.
        tracklets: the counts of a data set of tracklets.
        attacked: which images were attacked, in words; "" = only their number is shown.
    """
    learned = learned_before(attack) if is_learned(attack) else ""
    knowledge = attack.get("knowledge") or learned or "white-box: gradients of the scored model"
    aim = ", toward chosen identities" if attack.get("targeted") else ""
    metric = attack.get("metric") or distance
    unit = " of unit features" if attack.get("normalized") and metric != "cosine" else ""
    network = attack.get("space") == "network"
    size = "the network's input size" if network else "the size of the original"
    return [
        ("Attacker", f"{knowledge}{aim}"),
        ("Metric", f"{metric}{unit}"),
        ("Attacked images", attacked or f"{side}; {_join(_counts(images))}"),
        *([("Tracklets", _tracklets(attack, tracklets))] if tracklets else []),
        ("Stored as", f"8-bit PNG at {size}"),
        ("Scored", "from the stored files, through the usual test transform"),
    ]


def is_learned(attack: Mapping[str, Any]) -> bool:
    """Return whether an attack is a learned one, by its description in a result."""
    return "sha256" in attack


def learned_before(attack: Mapping[str, Any]) -> str:
    """Return in words what an attack knows that applies noise that was learned before.

    Args:
        attack: its description in results.json.
    """
    model = f" against {attack['model']}" if attack.get("model") else ""
    return f"noise learned before{model}, without gradients of the scored model"


def _counts(images: dict[str, Any]) -> list[str]:
    counts = [f"{images['attacked']:,} of the data set's {images['total']:,} images attacked"]
    if images.get("unchanged"):
        counts.append(f"{images['unchanged']:,} of these came out unchanged")
    return counts


def _tracklets(attack: dict[str, Any], tracklets: dict[str, Any]) -> str:
    shared = attack.get("tracklet") == "shared"
    noise = "one noise for all frames of each" if shared else "separate noise for each frame"
    return f"{tracklets['attacked']:,} of {tracklets['total']:,} attacked, {noise}"


def _join(names: Any) -> str:
    return names if isinstance(names, str) else ", ".join(str(name) for name in names)


def config_lines(config: Any) -> list[str]:
    """Return a config as lines of YAML; values that YAML cannot express are written as text."""
    tree = json.loads(json.dumps(config, default=str))
    return yaml.safe_dump(tree, allow_unicode=True, width=100).splitlines()
