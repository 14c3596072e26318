"""The measures of a card in their order, for tables, figures, the leaderboard and data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from torchreid_adv.experiments.card.numbers import floats
from torchreid_adv.standard.scores import Floats

TRACKS = {"Q": "queries attacked", "G": "gallery attacked"}


@dataclass(frozen=True)
class Measure:
    """A number of a card that stands for a condition.

    Args:
        name: as it is read.
        kind: ``clean``, ``corrupted``, ``occluded``, ``robust`` or ``cross``.
        value: mAP, in [0, 1].
        interval: its 95 % interval over identities.
        rank1: Rank-1; None where a card has none.
        note: what it is, in a few words.
    """

    name: str
    kind: str
    value: float
    interval: Sequence[float]
    rank1: float | None = None
    note: str = ""


def measures_of(numbers: Mapping[str, Any]) -> list[Measure]:
    """Return the measures of a card on its own data set, clean first.

    Args:
        numbers: of the card.
    """
    grid = numbers["grid"]
    kind, family = grid["worst_kind"], grid["worst_family"]
    rows = [
        _measure("clean", "clean", numbers["clean"], "no attack, no corruption"),
        _measure("corrupted, drawn", "corrupted", numbers["corrupted"], "both sides"),
        _measure("corrupted, by kind", "corrupted", grid, "queries, mean of 20 kinds"),
        _measure("worst family", "corrupted", family, family["family"]),
        _measure("worst kind", "corrupted", kind, kind["kind"].replace("_", " ")),
        _measure("occluded", "occluded", numbers["occluded"], "queries, mean of the sweep"),
    ]
    for place, robust in numbers["robust"].items():
        track, eps = place.split("-eps")
        rows.append(
            _measure(f"{TRACKS[track]}, eps {eps}", "robust", robust, "worst of the ensemble")
        )
    return rows


def _measure(name: str, kind: str, facts: Mapping[str, Any], note: str) -> Measure:
    return Measure(name, kind, facts["mAP"], facts["interval"], facts.get("rank1"), note)


def query_values(queries: Mapping[str, Any]) -> dict[str, Floats]:
    """Return (Q,) average precision by measure, for differences between two models.

    The worst kind and the worst family are other ones for another model, so they are left out.

    Args:
        queries: per-query part of a card.
    """
    values = {
        "clean": floats(queries["clean"]["ap"]),
        "corrupted, drawn": _mean(queries["draws"]),
        "corrupted, by kind": _mean(queries["grid"].values()),
        "occluded": _mean(queries["occluded"].values()),
    }
    for place, facts in queries["robust"].items():
        track, eps = place.split("-eps")
        values[f"{TRACKS[track]}, eps {eps}"] = floats(facts["ap"])
    return values


def _mean(rows: Any) -> Floats:
    return np.asarray(np.mean([floats(row) for row in rows], axis=0))
