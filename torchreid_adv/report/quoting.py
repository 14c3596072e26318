"""What a reader should ask before quoting a number of a run, answered from its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.report.text import is_learned, learned_before, levels, number, percent

FEW = 500  # queries; with fewer, some points of mAP may be chance

Questions = list[tuple[str, str]]


@dataclass(frozen=True)
class Headline:
    """The numbers that head a data set's section.

    Args:
        name: what they measure, "" for a model without a defense.
        clean: measures without an attack.
        attacked: measures under the attack.
        note: a line below them.
    """

    name: str
    clean: dict[str, Any]
    attacked: dict[str, Any]
    note: str = ""

    @classmethod
    def of(cls, results: dict[str, Any]) -> Headline:
        """Return the adaptive numbers behind a defense; else those of the undefended model."""
        defense = results.get("defense")
        if not defense:
            return cls("", results["clean"], results["adversarial"])
        if not defense.get("adaptive"):
            name = f"without the defense {defense['name']}, which has no adaptive attack"
            return cls(name, results["clean"], results["adversarial"])
        without = f"{percent(results['adversarial']['mAP'])} without the defense"
        name = f"adaptive, through the defense {defense['name']}"
        return cls(name, defense["clean"], defense["adaptive"], without)


def run_questions(
    results: Mapping[str, Any], *, side: str, chance: float | None, recorded: bool
) -> Questions:
    """Return the questions on one attacked data set: pairs (question, answer).

    Args:
        results: ``results.json["targets"][name]``.
        side: that was attacked.
        chance: mean mAP of a random order, in [0, 1]; None = not known.
        recorded: the command, the device and the versions are in the results.
    """
    return [
        ("Does the attack know the whole system?", _knowledge(results)),
        ("Was the attack strong enough?", _strength(results, chance)),
        (
            "Is one attack enough?",
            "No. Another attack may leave less, so this mAP is an upper bound. "
            "torchreid-adv standard runs a fixed set of attacks; quote its number for robustness.",
        ),
        ("Is it measured on enough images?", _size(results, side)),
        (
            "Can others repeat it?",
            "The command, device and versions are at the end of this page."
            if recorded
            else "The config is at the end of this page; the command, device and versions were "
            "not recorded.",
        ),
    ]


def _knowledge(results: Mapping[str, Any]) -> str:
    defense, attack = results.get("defense"), results["attack"]
    if defense and defense.get("adaptive"):
        return f"Yes. The headline is the attack made through the defense {defense['name']}."
    if defense:
        reason = defense.get("adaptive_reason") or "no reason is given"
        return (
            f"No. There is no attack through the defense {defense['name']} ({reason}). Do not "
            "quote the number behind the defense as robustness."
        )
    if is_learned(attack):
        return f"No. It applies {learned_before(attack)}. An attack by gradients leaves less."
    if attack.get("knowledge"):
        return f"It uses {attack['knowledge']}. An attack that knows more may leave less."
    return "Yes. It uses the gradients of the model that is scored, and there is no defense."


def _strength(results: Mapping[str, Any], chance: float | None) -> str:
    remaining = results["adversarial"]["mAP"]
    if defense := (results.get("defense") or {}).get("adaptive"):
        remaining = defense["mAP"]
    sentence = f"It leaves {percent(remaining)} mAP"
    sentence += "." if chance is None else f"; a random order scores {percent(chance)}."
    short = bound_note(results)
    return f"{sentence} {short}" if short else sentence


def _size(results: Mapping[str, Any], side: str) -> str:
    queries, attacked = results["clean"]["queries"], results["images"]["attacked"]
    sentence = f"{number(queries)} queries are scored, {number(attacked)} {side} images attacked."
    if queries >= FEW:
        return sentence
    return f"{sentence} With fewer than {FEW} queries, differences of a few points can be chance."


def bound_note(results: Mapping[str, Any]) -> str:
    """Return a warning if an attack had too few steps to reach its bound, else "".

    Args:
        results: ``results.json["targets"][name]``.
    """
    attack, largest = results["attack"], results["linf"]["max"]
    eps, step, steps = (attack.get(name) for name in ("eps", "step_size", "steps"))
    if not (eps and step and steps) or eps >= LEVELS or largest >= eps or steps * step >= eps:
        return ""
    needed = -(-eps // step)
    return (
        f"The bound of {levels(eps)} was not reached for lack of steps: {number(steps)} steps of "
        f"{levels(step)} change a pixel by at most {levels(steps * step)}. Use at least "
        f"{number(needed)} steps."
    )


def attacked_sentence(side: str, *, total: int, attacked: int, only_referenced: bool) -> str:
    """Return which images of the attacked side were attacked, in words.

    Args:
        side: ``gallery`` or ``query``.
        total: images of that side.
        attacked: how many of them were attacked.
        only_referenced: every image that was left clean has an identity without a reference.
    """
    if attacked == total:
        return f"all {number(total)} {side} images"
    other = "query" if side == "gallery" else "gallery image"
    why = (
        f", those whose identity has a {other}; the others are unchanged" if only_referenced else ""
    )
    return f"{number(attacked)} of {number(total)} {side} images{why}"
