"""What loaders of public data sets share: finding the folder, reading file names, numbering."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from torchreid_adv.errors import DataError, printable

Item = tuple[str, int, int]  # path, identity, camera from 0, as torchreid's data sets take it

K = TypeVar("K", bound=Hashable)

_SUFFIXES = (".jpg", ".jpeg", ".png")


def home_of(name: str, root: str, places: Iterable[str], layout: str) -> Path:
    """Return the first of some folders below the data root that is there.

    Args:
        name: of the data set, for the error.
        root: data root; ``~`` is followed.
        places: folders below it, the usual one first.
        layout: the public layout below that folder, for the error.

    Raises:
        DataError: none of them is there.
    """
    folders = [Path(os.path.expanduser(root)).absolute() / place for place in places]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise DataError(
        f"the data set '{name}' is not there: folder '{folders[0]}' is missing; unpack it there, "
        f"so that it holds {layout}, or give another --root"
    )


def images_in(
    folder: Path, pattern: re.Pattern[str], layout: str
) -> Iterator[tuple[str, re.Match[str]]]:
    """Yield path and matched name of the image files of a folder, sorted by name.

    Args:
        folder: its sub-folders are not looked into.
        pattern: what a file name starts with.
        layout: the public layout, for the error.

    Raises:
        DataError: no such folder, no image in it, or one whose name does not match.
    """
    if not folder.is_dir():
        raise DataError(f"folder '{folder}' is missing; the public layout is {layout}")
    names = sorted(n for n in os.listdir(folder) if n.lower().endswith(_SUFFIXES))
    if not names:
        raise DataError(f"folder '{folder}' holds no images; the public layout is {layout}")
    for name in names:
        match = pattern.match(name)
        if match is None:
            raise DataError(
                f"the file name '{printable(name)}' in '{folder}' does not tell identity and "
                f"camera; the public layout is {layout}"
            )
        yield f"{folder}{os.sep}{name}", match


def numbered(keys: Iterable[K]) -> dict[K, int]:
    """Return key -> number, from 0 in sorted order."""
    return {key: number for number, key in enumerate(sorted(set(keys)))}  # type: ignore[type-var]


def relabeled(items: Iterable[tuple[str, K, K]]) -> list[Item]:
    """Return items with identities and cameras, whatever names them, numbered from 0."""
    rows = list(items)
    pids = numbered(pid for _, pid, _ in rows)
    camids = numbered(camid for _, _, camid in rows)
    return [(path, pids[pid], camids[camid]) for path, pid, camid in rows]
