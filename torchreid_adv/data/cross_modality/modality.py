"""Visible or infrared: told by the fourth field of torchreid's tuples, the data set's number.

A cross-modality set has two numbers, 0 visible and 1 infrared, and torchreid counts on from one
source to the next: with sources of this kind alone, odd stays infrared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

VISIBLE, INFRARED = 0, 1
WORDS = ("visible", "infrared")
DIRECTIONS = ("i2v", "v2i")


def modality_of(item: Sequence[Any]) -> int:
    """Return 0 (visible) or 1 (infrared) of a tuple (path or paths, pid, camid, dsetid)."""
    return int(item[3]) % 2


def sides(direction: str) -> tuple[int, int]:
    """Return the modalities of query and gallery.

    Args:
        direction: ``i2v`` = infrared queries among visible, ``v2i`` = the other way.
    """
    return (INFRARED, VISIBLE) if direction == "i2v" else (VISIBLE, INFRARED)


def relabeled(items: Sequence[tuple[Any, int, int, int]]) -> list[tuple[Any, int, int, int]]:
    """Return the items with identities numbered from 0 in the order of their pids."""
    labels = {pid: label for label, pid in enumerate(sorted({item[1] for item in items}))}
    return [(place, labels[pid], camid, dsetid) for place, pid, camid, dsetid in items]
