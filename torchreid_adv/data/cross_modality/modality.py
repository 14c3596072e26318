"""Visible or infrared: the fourth field of torchreid's tuples, the number of the data set.

A cross-modality set has the numbers 0 visible and 1 infrared, and torchreid continues counting for
the next source: if all sources are of this kind, odd numbers stay infrared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchreid_adv.errors import ConfigError

VISIBLE, INFRARED = 0, 1
WORDS = ("visible", "infrared")
DIRECTIONS = ("i2v", "v2i")


def modality_of(item: Sequence[Any]) -> int:
    """Return 0 (visible) or 1 (infrared) for a tuple (path or paths, pid, camid, dsetid)."""
    return int(item[3]) % 2


def require_modalities(other: Any, kind: type) -> None:
    """Refuse a source whose number does not encode the modality.

    Args:
        other: a data set to be joined with one of this kind.
        kind: class of the sets with modalities.

    Raises:
        ConfigError: it is of another kind.
    """
    if not isinstance(other, kind):
        raise ConfigError(
            f"the source {type(other).__name__} does not tell visible from infrared and cannot be "
            "joined with one that does; leave it out of data.sources"
        )


def sides(direction: str) -> tuple[int, int]:
    """Return the modalities of query and gallery.

    Args:
        direction: ``i2v`` = infrared queries among visible, ``v2i`` = vice versa.
    """
    return (INFRARED, VISIBLE) if direction == "i2v" else (VISIBLE, INFRARED)


def relabeled(items: Sequence[tuple[Any, int, int, int]]) -> list[tuple[Any, int, int, int]]:
    """Return the items with identities numbered from 0 in the order of their pids."""
    labels = {pid: label for label, pid in enumerate(sorted({item[1] for item in items}))}
    return [(place, labels[pid], camid, dsetid) for place, pid, camid, dsetid in items]
