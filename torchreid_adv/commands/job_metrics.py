"""The metrics of a job: the attacked one, the one that ranks, and what is said of them."""

from __future__ import annotations

from typing import Any

from torchreid_adv.attacks import Attack
from torchreid_adv.distances import Distance, FittedDistance, LinearDistance


def metric_of(attack: Attack) -> Distance | None:
    """Return the distance that an attack, its objective or the objective within that one has."""
    part: Any = attack
    while part is not None:
        distance = getattr(part, "distance", None)
        if isinstance(distance, Distance):
            return distance
        part = getattr(part, "objective", None)
    return None


def to_fit(distance: Distance) -> bool:
    """Tell whether a distance has to be fitted before it is used."""
    return isinstance(distance, FittedDistance) and not distance.fitted


def metric_facts(key: str, distance: Distance | None) -> dict[str, Any]:
    """Return what results.json says of a distance: its name, options, and the hash of its map.

    Args:
        key: ``metric`` or ``evaluation_metric``.
        distance: None for an attack without one.
    """
    if distance is None:
        return {}
    facts: dict[str, Any] = {key: distance.name}
    if distance.options:
        facts[f"{key}_options"] = distance.options
    if isinstance(distance, LinearDistance) and distance.factor is not None:
        facts[f"{key}_sha256"] = distance.digest()
    return facts
