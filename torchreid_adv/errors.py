"""The errors a user can cause, each with the exit code the command line ends with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable


class AdvError(Exception):
    """An error that a user can fix; its sentence says what was expected, what came, and the fix."""

    exit_code = 1


class ConfigError(AdvError, ValueError):
    """A key, a name, a value, a flag or a checkpoint that cannot be used as given."""

    exit_code = 2


class DataError(AdvError, ValueError):
    """A data set or an image that cannot be used."""

    exit_code = 3


def printable(text: str) -> str:
    """Spell out what is not printable in a text: ANSI, newlines, surrogates, bidi marks."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


class DiskError(AdvError, OSError):
    """A disk that has no room, or a folder that cannot be written."""

    exit_code = 5


class MachineError(AdvError):
    """Memory that ran out, or a process of the job that ended: no mistake in config or data."""

    exit_code = 5


class VerificationError(AdvError):
    """A stored data set that is not what its manifest says."""

    exit_code = 6


PARTIAL = 4  # exit code of a run that left bad images out, as it was asked to


_LISTED = 40  # names that a sentence lists
_CUT = 60  # characters of a name that it shows


def suggest(name: str, known: Iterable[str], *, before: str = "") -> str:
    """Return ``; did you mean 'x'?`` when a known name is near, else the sorted list of names.

    Near is what differs by case, by signs between letters, by a letter or two as typing does, or
    what one of the two begins with; a name that merely shares letters is something else.

    Args:
        name: that is not known.
        known: the names that are.
        before: written in front of the names, such as the section of a config key.
    """
    names = sorted(known)
    near = nearest(name, names)
    if near:
        return f"; did you mean '{before}{near}'?"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    listed = ", ".join(before + other for other in names[:_LISTED])
    return f"; known: {listed or 'none'}{more}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is near, as :func:`suggest` counts; "" where none is."""
    distances = {other: _difference(name[:_CUT], other) for other in sorted(known)}
    near = min(distances, key=lambda other: (distances[other], len(other)), default="")
    return near if near and distances[near] <= 1 else ""


def _difference(name: str, other: str) -> float:
    """Return how far two names are apart: 0 = the same letters, up to 1 = near."""
    first, second = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (name, other))
    short, long = sorted((first, second), key=len)
    if first == second:
        return 0
    begins = len(short) >= _STEM and long.startswith(short)  # 'market' and 'market1501'
    if not begins and (not short or (len(long) <= _SHORT and first[0] != second[0])):
        return 2  # in a short name the first letter is rarely mistyped: 'grid' is not 'prid'
    allowed = 1 + len(long) // 7
    return min(_edits(first, second) / (allowed + 1 / 8), 1 if begins else math.inf)


_STEM, _SHORT = 4, 5  # letters that are enough to know a name by; letters of a short name


def _edits(first: str, second: str) -> int:
    """Return how many letters are missing, added, replaced or swapped with their neighbor."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, 1):
        last, before, row = before, row, [i]
        for j, other in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == second[j - 2] and first[i - 2] == other:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
