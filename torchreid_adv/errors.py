"""The errors a user can cause, each with the exit code the command line ends with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AdvError(Exception):
    """An error a user can mend; its sentence says what was expected, what came, how to mend it."""

    exit_code = 1


class ConfigError(AdvError, ValueError):
    """A key, a name, a value, a flag or a checkpoint that cannot be used as given."""

    exit_code = 2


class DataError(AdvError, ValueError):
    """A data set or an image that cannot be used as it is."""

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


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` when a known name is near, else the sorted list of names."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(names) or 'none'}"
