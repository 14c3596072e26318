"""The texts of the standard evaluation's page: attacks, checks and results in plain words."""

from __future__ import annotations

from typing import Any

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.report.text import levels, number, percent

TRACKS = {"Q": "queries", "G": "gallery"}
OWN = {"Q": "each query is attacked separately", "G": "one attacked gallery serves all queries"}

ATTACKS = {
    "push": ("everything", "away from all correct matches"),
    "margin": ("everything", "nearest incorrect matches before correct ones"),
    "self": ("its own image", "away from the model's clean feature of the image"),
    "noise": ("nothing", "random signs at the bound, the best of several"),
    "pull": ("everything", "toward the nearest incorrect identities"),
    "universal": ("training images", "one perturbation for all images"),
    "oblivious": ("the undefended model", "made without the defense"),
    "transfer": ("other models", "made on surrogates, steps with momentum"),
    "square": ("answers", "random squares, kept where the ranking gets worse"),
    "composed": ("everything", "the worst attack of each identity, in one gallery"),
}

_OF_ROUNDS = {
    "opposite": ("its own image", "toward the opposite of the image's clean feature"),
    "gray": ("its own image", "away from the feature of the image with a gray patch"),
    "audit": ("everything", "the whole ensemble of version 1, on a share of the queries"),
}


def of_attack(name: str) -> tuple[str, str]:
    """Return an attack's knowledge and method; for a round, with its steps."""
    arm, _, steps = name.partition("-")
    known = {**ATTACKS, **_OF_ROUNDS}
    knows, does = known.get(arm) or known.get(arm.rstrip("0123456789"), ("", ""))
    return knows, f"{does}, {steps} steps" if steps else does


# name -> question, measurement, unit
CHECKS = {
    "RAND": (
        "Are the model's features repeatable?",
        "largest difference of unit features over five passes with the same images",
        "plain",
    ),
    "DYN": (
        "Does a forward pass run an optimization?",
        "gradients computed inside a forward pass",
        "yes",
    ),
    "BATCH": (
        "Is an image's feature independent of the rest of its batch?",
        "largest difference of unit features between an image alone and in a batch",
        "plain",
    ),
    "ZERO": (
        "Does the attack get a gradient?",
        "images whose gradient at a random start is zero or not finite",
        "rate",
    ),
    "COLLAPSE": (
        "Does the clean model tell people apart?",
        "clean mAP, or the mean cosine between features of different images",
        "plain",
    ),
    "METRIC": (
        "Is the attacked metric the one that ranks?",
        "another metric is attacked",
        "yes",
    ),
    "STAGE": (
        "Does the defense declare its properties, so that attacks can go through it?",
        "a custom defense that declares nothing",
        "yes",
    ),
    "UNB": (
        "Do attacks succeed without a bound?",
        f"remaining mAP at a bound of {LEVELS} gray levels",
        "rate",
    ),
    "ITER": (
        "Are many steps better than one?",
        "mAP under many steps minus mAP under a single step",
        "points",
    ),
    "MONO": (
        "Does a larger bound do more harm?",
        "largest rise of mAP from one bound of the curve to the next larger one",
        "points",
    ),
    "SILENT": (
        "Did every attack return its best point?",
        "images with an earlier point that was better",
        "plain",
    ),
    "CONV": (
        "Were there enough steps?",
        "further loss of mAP with twice as many steps, or the share of the loss in the last ten",
        "rate",
    ),
    "BB": (
        "Do attacks with gradients do more than those without?",
        "further loss of mAP by Square or transfer beyond all gradient attacks",
        "points",
    ),
    "NOISE": (
        "Do attacks do more than random noise?",
        "mAP under gradient attacks minus mAP under random signs",
        "points",
    ),
    "PERQ": (
        "Is this also true for single queries?",
        "queries on which an attack that knows less wins over 5 points of average precision",
        "rate",
    ),
    "AUDIT": (
        "Do the rounds find what the whole ensemble finds?",
        "further loss of mAP by the whole ensemble beyond the rounds, on a share of the queries",
        "points",
    ),
}


def measured(check: dict[str, Any], value: float) -> str:
    """Format a check's measured value, or its threshold, in the check's unit."""
    unit = CHECKS.get(check["name"], ("", "", "plain"))[2]
    if unit == "yes":
        return "yes" if value else "no"
    if unit == "rate":
        return percent(value)
    if unit == "points":
        return f"{number(100 * value)} points".replace("-", "\N{MINUS SIGN}")
    return number(value)


def main_result(result: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Return track, bound and facts of the headline number: Q before G, first bound."""
    tracks = result["tracks"]
    track = next(name for name in TRACKS if name in tracks)
    eps = next(iter(tracks[track]))
    return track, eps, tracks[track][eps]


def headline(result: dict[str, Any]) -> str:
    """Return a sentence on the remaining mAP and Rank-1."""
    track, eps, facts = main_result(result)
    low, high = (percent(bound) for bound in facts["interval"])
    clean, robust = facts["clean"], facts["robust"]
    changed = "each query" if track == "Q" else "gallery images"
    return (
        f"With {changed} changed by at most {levels(float(eps))}, the worst of the ensemble's "
        f"attacks lower mAP from {percent(clean['mAP'])} to {percent(robust['mAP'])} (95 % "
        f"interval {low} to {high}); the first match is correct for "
        f"{percent(robust['cmc']['1'])} of the queries instead of {percent(clean['cmc']['1'])}."
    )


def breaking(result: dict[str, Any]) -> str:
    """Return a sentence on the bound at which queries lose their first match."""
    if len(result["curve"]["curve"]) < 2:
        return "There is no curve, because it needs gradient attacks."
    median = result["curve"]["median_eps"]
    if median is None:
        return "Fewer than half of the queries with a correct first match lose it at any bound."
    return f"Half of the queries with a correct first match have lost it at {levels(median)}."


def defense_sentence(result: dict[str, Any]) -> str:
    """Return sentences on the effect of the defense, "" without one."""
    _, _, facts = main_result(result)
    rows = facts.get("defense")
    if not rows:
        return ""
    return (
        f"With the defense, mAP is {percent(rows['oblivious'])} under an attack that does not know "
        f"the defense, and {percent(rows['adaptive'])} under attacks through it; without the "
        f"defense it is {percent(rows['undefended'])}. The adaptive number, from attacks through "
        "the defense, is the one that counts."
    )


def questions(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the questions before quoting a number: pairs (question, answer)."""
    _, _, facts = main_result(result)
    name, called = name_of(result), result["standard"]["called_standard"]
    red = [flag["name"] for flag in result["flags"] if flag["level"] == "RED"]
    flagged = f"No: {', '.join(dict.fromkeys(red))}. See the checks below." if red else ""
    low, high = (percent(bound) for bound in facts["interval"])
    pairs = [
        ("What may it be called?", _called(name, called)),
        ("Did every check pass?", flagged or "No check raised a red flag."),
        (
            "How certain is it?",
            f"The 95 % interval of mAP is {low} to {high}, over {number(facts['queries'])} "
            f"queries. A random order scores {percent(result['looks']['chance'])}.",
        ),
    ]
    if facts.get("defense"):
        pairs.append(
            (
                "Which number counts with a defense?",
                "The adaptive one. The others only show how the defense affects weaker attacks.",
            )
        )
    return [
        *pairs,
        (
            "Is it a lower bound?",
            "No. It is the mAP under the strongest attacks of the ensemble; another attack may "
            "leave less.",
        ),
    ]


def _called(name: str, called: bool) -> str:
    if not called:
        return f"Not {name}; the reasons are above."
    if is_full(name):
        return f"{name}."
    return f"{name}, a quick look. Only a full run may be called standard; always state {name}."


def is_full(name: str) -> bool:
    """Return whether a version's budgets are those of the standard evaluation, or larger.

    Args:
        name: of the evaluation, such as ``SRR-standard``.
    """
    return name.partition("-")[2].split("-")[0].split(",")[0] in ("standard", "plus")


def is_random(result: dict[str, Any]) -> bool:
    """Return whether there is a random defense."""
    return bool((result["model"]["defense"] or {}).get("random"))


def name_of(result: dict[str, Any]) -> str:
    """Return the name of the evaluation, with its final budgets if these were raised."""
    standard = result["standard"]
    name = str(standard["name"])
    if standard["escalated"]:
        name += f", run with the budgets of {standard['escalated']}"
    return name


def metric(result: dict[str, Any]) -> str:
    """Return the metric that ranks, in words."""
    facts = result["metric"]
    unit = " of unit features" if facts["normalized"] and facts["name"] != "cosine" else ""
    return f"{facts['name']} distance{unit}"


def threat(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the attacker's limits and knowledge, and the scored images: (aspect, answer)."""
    texts, tracks = result["threat"], result["tracks"]
    bounds = " and ".join(next(iter(tracks.values())))
    definition = result["standard"]["definition"]
    draws = (
        f"gradients over {definition['eot']} draws, scores over {definition['draws']} fresh ones"
    )
    random = [("Random defense", draws)] if is_random(result) else []
    return [
        ("Bound", f"{bounds} gray levels of {LEVELS}; {texts['bound']}"),
        ("Goal", texts["goal"]),
        *((f"Track {track}", texts[track]) for track in tracks),
        ("Attacker knows", texts["knowledge"]),
        ("Scored", f"{texts['scored']}, by {metric(result)}"),
        *random,
    ]
