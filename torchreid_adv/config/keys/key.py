"""What a config key is: default, meaning with its unit, and the values it may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torchreid_adv.core.pixels import LEVELS

Check = Callable[[Any], str]  # what is wrong with a value, "" when nothing is
ALLOWED: dict[Check, str] = {}  # a check's values in words, for the reference of all keys


def between(low: float, high: float) -> Check:
    """Allow numbers from low to high, both included (and None where that is the default)."""

    def check(value: Any) -> str:
        return "" if value is None or low <= value <= high else f"must be in [{low:g}, {high:g}]"

    ALLOWED[check] = f"{low:,} to {high:,}"
    return check


def one_of(*names: str) -> Check:
    """Allow these strings only."""

    def check(value: Any) -> str:
        return "" if value in names else f"must be one of {', '.join(repr(n) for n in names)}"

    ALLOWED[check] = " or ".join(f"`{name!r}`" for name in names)
    return check


def gray_levels(value: Any) -> str:
    """Allow 0 to 255, and point out a value that was meant in [0, 1]."""
    if isinstance(value, (int, float)) and 0 < value < 1:
        return f"is in gray levels of 255; for {value:.4g} of [0, 1] write {value * LEVELS:.4g}"
    return _within_levels(value)


_within_levels = between(0, LEVELS)
ALLOWED[gray_levels] = ALLOWED[_within_levels]


def each(check: Check) -> Check:
    """Hold every item of a list against a check."""

    def check_all(values: Any) -> str:
        return next(filter(None, map(check, values)), "") if isinstance(values, list) else ""

    ALLOWED[check_all] = f"each {ALLOWED[check]}"
    return check_all


def anything(value: Any) -> str:
    """Allow every value of the right type; names are checked against the registries."""
    return ""


@dataclass(frozen=True)
class Key:
    """One declared key.

    Args:
        name: dotted, below ``adv.``.
        default: value and, unless None, type.
        meaning: what it does, with its unit.
        check: what a value may be.
        kind: the type where the default is None; the type of the items where the default is []
            and they are not strings.
        unit: "levels" for a value in gray levels, which is converted once on use; else what a
            number counts, for the reference.
        path: the value names a file or a folder, or several, alone or at the end of an entry such
            as ``label=name:path``; ``~`` in front of it is the home folder.
        table: the value names entries of this registry, a key of :data:`registry.TABLES`.
    """

    name: str
    default: Any
    meaning: str
    check: Check = anything
    kind: type = object
    unit: str = ""
    path: bool = False
    table: str = ""
