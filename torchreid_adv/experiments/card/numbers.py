"""Every number of a card, from the average precision of single queries and nothing else.

The card that is written and the card that is verified go through :func:`card_numbers`, so a number
that does not follow from the queries is never part of a card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from torchreid_adv.corruptions import FAMILIES
from torchreid_adv.experiments.card.budgets import OCCLUSIONS, CardVersion, hidden
from torchreid_adv.experiments.card.people import People, rank_correlation
from torchreid_adv.registry import CORRUPTIONS
from torchreid_adv.standard.scores import Floats

CONDITIONS = ("clean", "corrupted", "occluded", "robust")  # shown for people and cameras


def floats(values: Sequence[float | None]) -> Floats:
    """Return values of queries as they are computed with; None becomes NaN."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def plain(values: Floats) -> list[float | None]:
    """Return values of queries as JSON holds them; NaN becomes None."""
    return [None if np.isnan(value) else float(value) for value in values]


def main_place(places: Mapping[str, Any]) -> str:
    """Return the track and bound that a card's people are of: queries before gallery, first bound.

    Args:
        places: by track and bound, ``Q-eps8``.
    """
    return min(places, key=lambda name: not name.startswith("Q"))


def card_numbers(queries: Mapping[str, Any], version: CardVersion) -> dict[str, Any]:
    """Return the numbers of a card.

    Args:
        queries: its per-query part; see :mod:`.content`.
        version: budgets.
    """
    pids, clean = np.array(queries["pids"], np.int64), floats(queries["clean"]["ap"])
    people = People(pids, ~np.isnan(clean), version.bootstrap)
    robust = {name: floats(facts["ap"]) for name, facts in queries["robust"].items()}
    draws = np.stack([floats(values) for values in queries["draws"]])
    cells = {name: floats(values) for name, values in queries["grid"].items()}
    hidden_cells = {name: floats(values) for name, values in queries["occluded"].items()}
    main = main_place(robust)
    conditions = dict(
        zip(
            CONDITIONS,
            (clean, draws.mean(axis=0), _mean(hidden_cells.values()), robust[main]),
            strict=True,
        )
    )
    chance = floats(queries["chance"])
    cameras = np.array(queries["camids"], np.int64)
    return {
        "queries": int(people.held.sum()),
        "identities": len(people.known),
        "chance": float(chance[people.held].mean()),
        "clean": {**people.mean(clean), **_first(people, queries["clean"]["first"])},
        "robust": {
            name: {**people.mean(values), **_first(people, queries["robust"][name]["first"])}
            for name, values in robust.items()
        },
        "main": main,
        "corrupted": {**people.mean(conditions["corrupted"]), **_between(people, draws)},
        "grid": grid_numbers(people, cells, version),
        "occluded": occlusion_numbers(people, hidden_cells, version),
        "people": {
            **{name: people.spread(values, chance) for name, values in conditions.items()},
            "rho": rank_correlation(
                *(people.means(conditions[n]) for n in ("corrupted", "robust"))
            ),
        },
        "cameras": _cameras(people, cameras, conditions),
        "cross": {name: _cross(facts, version) for name, facts in queries["cross"].items()},
    }


def _mean(rows: Any) -> Floats:
    return np.asarray(np.mean(list(rows), axis=0))


def _first(people: People, hits: Sequence[float | None]) -> dict[str, Any]:
    """Return Rank-1 and its interval."""
    share = people.mean(floats(hits))
    return {"rank1": share["mAP"], "rank1_interval": share["interval"]}


def _between(people: People, draws: Floats) -> dict[str, Any]:
    """Return each draw's mAP and their deviation, None for a single draw."""
    means = [float(row[people.held].mean()) for row in draws]
    deviation = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return {"draws": means, "deviation": deviation}


def grid_numbers(
    people: People, cells: Mapping[str, Floats], version: CardVersion
) -> dict[str, Any]:
    """Return mAP by kind and severity, by kind, by family, and where it is lowest.

    Args:
        people: queries by identity.
        cells: ``KIND SEVERITY`` -> (Q,) average precision.
        version: budgets.
    """
    kinds = list(dict.fromkeys(kind for kind, _ in version.grid))
    rows = {kind: _mean(cells[f"{kind} {s}"] for s in version.severities) for kind in kinds}
    families = {
        family: [kind for kind in kinds if CORRUPTIONS.facts(kind)["family"] == family]
        for family in FAMILIES
    }
    of_families = {
        family: _mean(rows[kind] for kind in members)
        for family, members in families.items()
        if members
    }
    kind_means = {kind: people.mean(values) for kind, values in rows.items()}
    family_means = {family: people.mean(values) for family, values in of_families.items()}
    least = np.min([cells[f"{kind} {version.middle}"] for kind in kinds], axis=0)
    lowest = [
        min(means, key=lambda name: means[name]["mAP"]) for means in (kind_means, family_means)
    ]
    return {
        **people.mean(_mean(rows.values())),
        "cells": {name: float(values[people.held].mean()) for name, values in cells.items()},
        "kinds": kind_means,
        "families": family_means,
        "worst_kind": {"kind": lowest[0], **kind_means[lowest[0]]},
        "worst_family": {"family": lowest[1], **family_means[lowest[1]]},
        "worst_per_query": people.mean(least),
    }


def occlusion_numbers(
    people: People, cells: Mapping[str, Floats], version: CardVersion
) -> dict[str, Any]:
    """Return mAP by kind of occlusion and percent hidden, and the mean of all.

    Args:
        people: queries by identity.
        cells: ``KIND SEVERITY`` -> (Q,) average precision.
        version: budgets.
    """
    return {
        **people.mean(_mean(cells.values())),
        "sweep": {
            kind: {str(hidden(s)): people.mean(cells[f"{kind} {s}"]) for s in version.occlusions}
            for kind in OCCLUSIONS
        },
    }


def _cameras(
    people: People, cameras: np.ndarray, conditions: Mapping[str, Floats]
) -> dict[str, Any]:
    """Return the conditions by the camera of the query; cameras without a match are left out."""
    cameras_numbers = {}
    for camera in np.unique(cameras[people.held]).tolist():
        held = people.held & (cameras == camera)
        seen = People(people.pids, held, people.bootstrap)
        cameras_numbers[str(camera)] = {
            "queries": int(held.sum()),
            "identities": len(seen.known),
            **{name: seen.mean(values) for name, values in conditions.items()},
        }
    return cameras_numbers


def _cross(facts: Mapping[str, Any], version: CardVersion) -> dict[str, Any]:
    values = floats(facts["ap"])
    people = People(np.array(facts["pids"], np.int64), ~np.isnan(values), version.bootstrap)
    return {
        "queries": int(people.held.sum()),
        "identities": len(people.known),
        **people.mean(values),
        **_first(people, facts["first"]),
    }


def corruption_errors(
    numbers: Mapping[str, Any], reference: Mapping[str, Any], version: CardVersion
) -> dict[str, Any]:
    """Return the corruption error relative to a reference model (Hendrycks, Dietterich, 2019).

    Args:
        numbers: numbers of a card.
        reference: numbers of the reference's card.
        version: budgets of both.

    Returns:
        ``mCE``, the mean over kinds of the model's sum of (1 - mAP) over severities divided by the
        reference's, and ``relative_mCE``, the same of clean mAP minus mAP; kinds on which the
        reference loses less than a point in all are left out of it and listed in ``left_out``.
        None where no kind is left.
    """
    errors, relative, left_out = [], [], []
    for kind in numbers["grid"]["kinds"]:
        names = [f"{kind} {severity}" for severity in version.severities]
        ours, theirs = (
            np.array([f["grid"]["cells"][n] for n in names]) for f in (numbers, reference)
        )
        if (1 - theirs).sum() > 0:
            errors.append(float((1 - ours).sum() / (1 - theirs).sum()))
        lost = (reference["clean"]["mAP"] - theirs).sum()
        if lost < 0.01:
            left_out.append(kind)
        else:
            relative.append(float((numbers["clean"]["mAP"] - ours).sum() / lost))
    return {
        "mCE": float(np.mean(errors)) if errors else None,
        "relative_mCE": float(np.mean(relative)) if relative else None,
        "left_out": left_out,
    }
