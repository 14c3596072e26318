"""What a result of the standard evaluation may be called, by what it says of itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from torchreid_adv.standard.flags import RED, Check
from torchreid_adv.standard.versions import TRACKS, VERSIONS, Version

BLACK_BOX = "black-box"
SURROGATES = 2  # other models that a run called standard needs

THREAT = {
    "bound": "L-infinity on the stored 8-bit images; the resize belongs to the model",
    "goal": "no right match near the top of the list",
    "Q": "each query is attacked by itself, the gallery is clean",
    "G": "the gallery images of all queries' identities are attacked, the queries are clean",
    "knowledge": "weights, metric, defense and the clean features of the other side",
    "scored": "stored PNG files, through the test transform",
}


def name_of(version: Version, black_box: str) -> str:
    """Return the name of a result.

    Args:
        version: that was asked for.
        black_box: why attacks by gradients were not made; "" where they were.
    """
    return f"SRR-{version.name}" + (f"-{BLACK_BOX}" if black_box else "")


def headline(black_box: str) -> str:
    """Return what has to be known before any figure is read, "" for nothing."""
    if not black_box:
        return ""
    return (
        f"The model is {black_box}, which has no gradient: only attacks that ask for answers and "
        "transferred ones were made. Who holds the network itself can do more."
    )


def other_models(surrogates: Sequence[dict[str, Any]], model: dict[str, Any]) -> int:
    """Return how many surrogates there are, the model itself and repeated ones not counted."""
    return len({one["sha256"] for one in surrogates} - {model["sha256"]})


def why_not(
    version: Version,
    surrogates: int,
    flags: Sequence[Check],
    black_box: str = "",
    tracks: Collection[str] = TRACKS,
    ap_rule: str = "standard",
) -> list[str]:
    """Return why a result is not called standard; nothing where it is.

    Args:
        version: that was asked for.
        surrogates: how many there were, the model itself and repeated ones not counted.
        flags: that were raised.
        black_box: why attacks by gradients were not made; "" where they were.
        tracks: that were run.
        ap_rule: of the scores.
    """
    found = [f"attacks by gradients are missing, because the model is {black_box}"] * bool(
        black_box
    )
    if VERSIONS.get(version.name) != version:
        found.append(f"its budgets are those of none of {', '.join(VERSIONS)}")
    missing = [track for track in TRACKS if track not in tracks]
    if missing:
        found.append(f"track {' and '.join(missing)} was not run")
    if surrogates < SURROGATES:
        found.append(
            f"transferred attacks need {SURROGATES} other models, and there were {surrogates}"
        )
    if ap_rule != "standard":
        found.append(f"average precision is by the rule '{ap_rule}', not by torchreid's")
    red = dict.fromkeys(flag.name for flag in flags if flag.level == RED)
    if red:
        found.append(f"red flags: {', '.join(red)}")
    return found
