"""What the page of the standard evaluation says: attacks, checks and results in plain words."""

from __future__ import annotations

from typing import Any

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.report.text import levels, number, percent

TRACKS = {"Q": "queries", "G": "gallery"}
OWN = {"Q": "each query is attacked by itself", "G": "one attacked gallery serves all queries"}

ATTACKS = {
    "push": ("everything", "away from all right matches"),
    "margin": ("everything", "nearest wrong matches before right ones"),
    "self": ("its own image", "away from what the model says of the image itself"),
    "noise": ("nothing", "random signs at the bound, the best of some"),
    "pull": ("everything", "towards the nearest wrong identities"),
    "universal": ("training images", "one perturbation for all images"),
    "oblivious": ("the undefended model", "made without the defense"),
    "transfer": ("other models", "made on surrogates, steps with momentum"),
    "square": ("answers", "random squares, kept where the ranking gets worse"),
    "composed": ("everything", "the worst attack of each identity, in one gallery"),
}

_OF_ROUNDS = {
    "opposite": ("its own image", "towards the opposite of the feature of the image itself"),
    "gray": ("its own image", "away from the feature of the image with a gray patch"),
    "audit": ("everything", "the whole ensemble of version 1, on a share of the queries"),
}


def of_attack(name: str) -> tuple[str, str]:
    """Return what an attack knows and does; of a round, with its steps."""
    arm, _, steps = name.partition("-")
    known = {**ATTACKS, **_OF_ROUNDS}
    knows, does = known.get(arm) or known.get(arm.rstrip("0123456789"), ("", ""))
    return knows, f"{does}, {steps} steps" if steps else does


# name -> what is asked, what is measured, and in which unit
CHECKS = {
    "RAND": (
        "Does the model answer the same twice?",
        "largest difference of unit features over five passes with the same images",
        "plain",
    ),
    "DYN": (
        "Does a forward pass optimize something by itself?",
        "gradients computed inside a forward pass",
        "yes",
    ),
    "BATCH": (
        "Is an image's feature its own, whatever else is in the batch?",
        "largest difference of unit features between alone and in a batch",
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
        "Does the defense say what it is, so that attacks can go through it?",
        "a defense of one's own that declares nothing",
        "yes",
    ),
    "UNB": (
        "Do attacks win where nothing holds them?",
        f"mAP left at a bound of {LEVELS} gray levels",
        "rate",
    ),
    "ITER": (
        "Are many steps better than one?",
        "mAP that many steps leave beyond what a single one leaves",
        "points",
    ),
    "MONO": (
        "Does a larger bound do more harm?",
        "largest rise of mAP from one bound of the curve to the next larger one",
        "points",
    ),
    "SILENT": (
        "Did every attack give back the best that it found?",
        "images of which an earlier point was better",
        "plain",
    ),
    "CONV": (
        "Were there enough steps?",
        "mAP that twice as many steps win, or the share of the loss won in the last ten",
        "rate",
    ),
    "BB": (
        "Do attacks with gradients do more than those without?",
        "mAP that Square or transfer take beyond all attacks by gradients",
        "points",
    ),
    "NOISE": (
        "Do attacks do more than random noise?",
        "mAP that attacks by gradients leave beyond what random signs leave",
        "points",
    ),
    "PERQ": (
        "Is that so for single queries, too?",
        "queries on which an attack that knows less wins over 5 points of average precision",
        "rate",
    ),
    "AUDIT": (
        "Do the rounds find what the whole ensemble finds?",
        "mAP that the whole ensemble takes beyond the rounds, on a share of the queries",
        "points",
    ),
}


def measured(check: dict[str, Any], value: float) -> str:
    """Format what a check measured, or its threshold, in the check's unit."""
    unit = CHECKS.get(check["name"], ("", "", "plain"))[2]
    if unit == "yes":
        return "yes" if value else "no"
    if unit == "rate":
        return percent(value)
    if unit == "points":
        return f"{number(100 * value)} points".replace("-", "\N{MINUS SIGN}")
    return number(value)


def main_result(result: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """Return track, bound and facts of the figure that heads the page: Q before G, first bound."""
    tracks = result["tracks"]
    track = next(name for name in TRACKS if name in tracks)
    eps = next(iter(tracks[track]))
    return track, eps, tracks[track][eps]


def headline(result: dict[str, Any]) -> str:
    """Say in a sentence what is left."""
    track, eps, facts = main_result(result)
    low, high = (percent(bound) for bound in facts["interval"])
    clean, robust = facts["clean"], facts["robust"]
    changed = "Changing each query" if track == "Q" else "Changing gallery images"
    return (
        f"{changed} by at most {levels(float(eps))}, the worst of the ensemble's attacks brings "
        f"mAP from {percent(clean['mAP'])} to {percent(robust['mAP'])} (95 % interval {low} to "
        f"{high}); the first match is right for {percent(robust['cmc']['1'])} of the queries "
        f"instead of {percent(clean['cmc']['1'])}."
    )


def breaking(result: dict[str, Any]) -> str:
    """Say at which bound queries lose their first match, or that there is no curve."""
    if len(result["curve"]["curve"]) < 2:
        return "There is no curve, which takes attacks by gradients."
    median = result["curve"]["median_eps"]
    if median is None:
        return "Fewer than half of the queries with a right first match lose it at any bound."
    return f"Half of the queries with a right first match have lost it at {levels(median)}."


def defense_sentence(result: dict[str, Any]) -> str:
    """Say what the defense is worth, "" without one."""
    _, _, facts = main_result(result)
    rows = facts.get("defense")
    if not rows:
        return ""
    return (
        f"Behind the defense an attack that does not know of it leaves {percent(rows['oblivious'])}"
        f" mAP; the attacks made through it leave {percent(rows['adaptive'])}, and the model "
        f"without it holds {percent(rows['undefended'])}. The adaptive figure is the one that "
        "counts."
    )


def questions(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what to ask before a number is quoted: pairs (question, answer)."""
    _, _, facts = main_result(result)
    name, called = name_of(result), result["standard"]["called_standard"]
    red = [flag["name"] for flag in result["flags"] if flag["level"] == "RED"]
    flagged = f"No: {', '.join(dict.fromkeys(red))}. See the checks below." if red else ""
    low, high = (percent(bound) for bound in facts["interval"])
    found = [
        ("What may it be called?", _called(name, called)),
        ("Did every check pass?", flagged or "No check raised a red flag."),
        (
            "How certain is it?",
            f"The 95 % interval of mAP is {low} to {high}, over {number(facts['queries'])} "
            f"queries. A random order scores {percent(result['looks']['chance'])}.",
        ),
    ]
    if facts.get("defense"):
        found.append(
            (
                "Which number counts with a defense?",
                "The adaptive one. The others say what a defense hides from weaker attacks.",
            )
        )
    return [
        *found,
        (
            "Is it a lower bound?",
            "No. It is what the strongest attack of the ensemble leaves; another may leave less.",
        ),
    ]


def _called(name: str, called: bool) -> str:
    if not called:
        return f"Not {name}; the reasons are above."
    if is_full(name):
        return f"{name}."
    return f"{name}, a quick look. Only a full run may be called standard; say {name} beside it."


def is_full(name: str) -> bool:
    """Tell whether a version's budgets are those of the standard evaluation, or larger.

    Args:
        name: of the evaluation, such as ``SRR-standard``.
    """
    return name.partition("-")[2].split("-")[0].split(",")[0] in ("standard", "plus")


def is_random(result: dict[str, Any]) -> bool:
    """Tell whether there is a defense whose draws differ."""
    return bool((result["model"]["defense"] or {}).get("random"))


def name_of(result: dict[str, Any]) -> str:
    """Return what the evaluation is called, and by which budgets it was run in the end."""
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
    """Return what the attacker may do and know, and what is scored: pairs (aspect, answer)."""
    said, tracks = result["threat"], result["tracks"]
    bounds = " and ".join(next(iter(tracks.values())))
    definition = result["standard"]["definition"]
    draws = (
        f"gradients over {definition['eot']} draws, scores over {definition['draws']} fresh ones"
    )
    random = [("Random defense", draws)] if is_random(result) else []
    return [
        ("Bound", f"{bounds} gray levels of {LEVELS}; {said['bound']}"),
        ("Goal", said["goal"]),
        *((f"Track {track}", said[track]) for track in tracks),
        ("Attacker knows", said["knowledge"]),
        ("Scored", f"{said['scored']}, by {metric(result)}"),
        *random,
    ]
