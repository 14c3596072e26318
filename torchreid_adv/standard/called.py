"""The name that a result of the standard evaluation may use, derived from its content."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from torchreid_adv.standard.flags import RED, Check
from torchreid_adv.standard.versions import TRACKS, VERSIONS, Version

BLACK_BOX = "black-box"
SURROGATES = 2  # other models that a run called standard needs

THREAT = {
    "bound": "L-infinity on the stored 8-bit images; the resize belongs to the model",
    "goal": "no correct match near the top of the list",
    "Q": "each query is attacked by itself, the gallery is clean",
    "G": "the gallery images of all queries' identities are attacked, the queries are clean",
    "knowledge": "weights, metric, defense and the clean features of the other side",
    "scored": "stored PNG files, through the test transform",
}
REWORDED = {  # parts of texts in earlier results -> the same in current words
    "no right match near": "no correct match near",
    "that ask for answers and transferred ones": "by queries and transferred attacks",
    "Who holds the network itself": "An attacker who has the network itself",
}


def in_current_words(content: dict[str, Any]) -> dict[str, Any]:
    """Return a result with its threat model and headline in the words of this version."""
    standard, threat = content["standard"], content["threat"]
    return {
        **content,
        "standard": {**standard, "headline": _reworded(standard["headline"])},
        "threat": {name: _reworded(text) for name, text in threat.items()},
    }


def _reworded(text: str) -> str:
    for earlier, current in REWORDED.items():
        text = text.replace(earlier, current)
    return text


def name_of(version: Version, black_box: str) -> str:
    """Return the name of a result.

    Args:
        version: requested by the user.
        black_box: why there were no gradient attacks; "" if there were.
    """
    return f"SRR-{version.name}" + (f"-{BLACK_BOX}" if black_box else "")


def headline(black_box: str) -> str:
    """Return a caveat that must be read before any number, "" if there is none."""
    if not black_box:
        return ""
    return (
        f"The model is {black_box}, which has no gradient: only attacks by queries and transferred "
        "attacks were made. An attacker who has the network itself can do more."
    )


def other_models(surrogates: Sequence[dict[str, Any]], model: dict[str, Any]) -> int:
    """Return the number of distinct surrogates other than the model itself."""
    return len({surrogate["sha256"] for surrogate in surrogates} - {model["sha256"]})


def why_not(
    version: Version,
    surrogates: int,
    flags: Sequence[Check],
    black_box: str = "",
    tracks: Collection[str] = TRACKS,
    ap_rule: str = "standard",
) -> list[str]:
    """Return why a result is not called standard; empty if it is.

    Args:
        version: requested by the user.
        surrogates: number of distinct ones other than the model itself.
        flags: that were raised.
        black_box: why there were no gradient attacks; "" if there were.
        tracks: that were run.
        ap_rule: of the scores.
    """
    reasons = [f"attacks by gradients are missing, because the model is {black_box}"] * bool(
        black_box
    )
    if VERSIONS.get(version.name) != version:
        reasons.append(f"its budgets are those of none of {', '.join(VERSIONS)}")
    missing = [track for track in TRACKS if track not in tracks]
    if missing:
        reasons.append(f"track {' and '.join(missing)} was not run")
    if surrogates < SURROGATES:
        reasons.append(
            f"transferred attacks need {SURROGATES} other models, and there were {surrogates}"
        )
    if ap_rule != "standard":
        reasons.append(f"average precision is by the rule '{ap_rule}', not by torchreid's")
    red = dict.fromkeys(flag.name for flag in flags if flag.level == RED)
    if red:
        reasons.append(f"red flags: {', '.join(red)}")
    return reasons
