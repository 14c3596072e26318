"""The content of a row of a list, checked: file, identity, camera, split, and more."""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torchreid_adv import config
from torchreid_adv.core.manifest import SIDES
from torchreid_adv.data.cross_modality.modality import INFRARED, VISIBLE
from torchreid_adv.data.listing import SUFFIXES, Layout
from torchreid_adv.data.own.labels import word_of
from torchreid_adv.data.own.table import Row
from torchreid_adv.errors import printable

MODALITIES = {
    **dict.fromkeys(("rgb", "visible", "vis", "0"), VISIBLE),
    **dict.fromkeys(("ir", "infrared", "nir", "thermal", "1"), INFRARED),
}
LARGEST = 10**6  # largest size of a box in pixels, and limit of a frame's number
_FRAME = re.compile(r"\d{1,15}(\.0+)?", re.ASCII)
_SHOWN = 60


class Box(NamedTuple):
    """A box in an image, pixels; left and top count from 0."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Listed:
    """An image, or a box in an image, as listed.

    Args:
        path: the file.
        real: the file with links resolved, to detect two names of one file.
        pid: name of the identity.
        camid: name of the camera, "" if the list has none.
        split: train, query or gallery.
        where: line and file, for errors.
        box: the part of the image to use; None = all.
        modality: 0 visible, 1 infrared, None if the list does not say.
        tracklet: tracklet of a frame.
        frame: number of a frame; None = ordered by name.
        view: name of the side or height that the camera looks from, "" if not given.
        clothes: name of the clothes.
        protocol: evaluation protocol of the set.
    """

    path: str
    real: str
    pid: str
    camid: str
    split: str
    where: str
    box: Box | None = None
    modality: int | None = None
    tracklet: str = ""
    frame: int | None = None
    view: str = ""
    clothes: str = ""
    protocol: str = ""


def listed(rows: Iterable[Row], folder: Path, layout: Layout) -> Iterator[Listed]:
    """Yield the content of a list's rows.

    Args:
        rows: rows of the list.
        folder: paths are relative to it.
        layout: for errors.

    Raises:
        DataError: the error names the line, and how to fix it.
    """
    real_folders: dict[str, str] = {}
    for cells, where in rows:
        path = _path(cells.get("path", ""), folder, where, layout)
        above, name = os.path.split(path)
        if above not in real_folders:
            real_folders[above] = os.path.realpath(above)
        real = f"{real_folders[above]}/{name}"
        yield Listed(
            path=path,
            real=os.path.realpath(path) if os.path.islink(path) else real,
            pid=word_of(cells.get("pid", ""), "pid", where, layout),
            camid=word_of(cells["camid"], "camid", where, layout) if "camid" in cells else "",
            split=_split(cells.get("split", ""), where, layout),
            where=where,
            box=_box(cells, where, layout),
            modality=_modality(cells, where, layout),
            tracklet=_word(cells, "tracklet", where, layout),
            frame=_frame(cells.get("frame", ""), where, layout),
            view=word_of(cells["view"], "view", where, layout) if cells.get("view") else "",
            clothes=_word(cells, "clothes", where, layout),
            protocol=_word(cells, "protocol", where, layout),
        )


def _path(text: str, folder: Path, where: str, layout: Layout) -> str:
    """Return the path of a row's file; backslashes separate folders if no file has them."""
    if not text:
        raise layout.error(f"{where}: path is empty; write the image's file, or remove the row")
    if not text.isprintable():
        raise layout.error(f"{where}: path '{printable(text[:_SHOWN])}' holds control characters")
    path = os.path.normpath(folder / text)
    if "\\" in text and not os.path.lexists(path):
        path = os.path.normpath(folder / text.replace("\\", "/"))
    if os.path.splitext(path)[1].lower() not in SUFFIXES:
        raise layout.error(
            f"{where}: '{text[:200]}' does not end with one of {', '.join(SUFFIXES)}; convert the "
            "image, or rename it"
        )
    return path if os.path.isfile(path) else _existing(path, where, layout)


def _existing(path: str, where: str, layout: Layout) -> str:
    """Return the file for a path: with another suffix, case or Unicode form.

    Raises:
        DataError: there is none, or several.
    """
    folder, name = os.path.split(path)
    entries = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    same = [f"{folder}/{other}" for other in entries if _key(other) == _key(name)]
    files = [p for p in same if p.lower().endswith(SUFFIXES) and os.path.isfile(p)]
    if len(files) == 1:
        return files[0]
    if files:
        shown = " and ".join(os.path.basename(file) for file in files)
        raise layout.error(
            f"{where}: there is no image '{path}', but {shown}; write the name as in the folder"
        )
    if not config.current().adv.job.quarantine:
        raise layout.error(
            f"{where}: there is no image '{path}'; paths start from the folder of the list. "
            "Correct the path, or remove the row"
        )
    return path


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", os.path.splitext(name)[0]).casefold()


def _split(text: str, where: str, layout: Layout) -> str:
    split = text.casefold()
    if split not in SIDES:
        fault = f"is '{printable(text[:_SHOWN])}'" if text else "is empty"
        raise layout.error(f"{where}: split {fault}; write train, query or gallery")
    return split


def _modality(cells: dict[str, str], where: str, layout: Layout) -> int | None:
    if "modality" not in cells:
        return None
    text = cells["modality"].casefold()
    if text not in MODALITIES:
        fault = f"is '{printable(text[:_SHOWN])}'" if text else "is empty"
        raise layout.error(f"{where}: modality {fault}; write rgb or ir in every row")
    return MODALITIES[text]


def _word(cells: dict[str, str], column: str, where: str, layout: Layout) -> str:
    """Return a cell of any content; it must not be empty if the column defines tracklets."""
    text = cells.get(column, "")
    if not text.isprintable():
        raise layout.error(
            f"{where}: {column} '{printable(text[:_SHOWN])}' holds control characters"
        )
    if column in ("tracklet", "protocol") and column in cells and not text:
        raise layout.error(f"{where}: {column} is empty; write it in every row, or in none")
    return text


def _frame(text: str, where: str, layout: Layout) -> int | None:
    if not text:
        return None
    if not _FRAME.fullmatch(text):
        raise layout.error(
            f"{where}: frame is '{printable(text[:_SHOWN])}'; write a whole number, 0 or more"
        )
    return int(text.partition(".")[0])


def _box(cells: dict[str, str], where: str, layout: Layout) -> Box | None:
    """Return the box of a row: columns x, y, w and h, or one column box with four numbers."""
    parts = [cells.get(name, "") for name in ("x", "y", "w", "h")]
    whole = cells.get("box", "")
    if whole and any(parts):
        raise layout.error(f"{where} has a box in the column box and in x, y, w, h; keep one")
    if whole:
        parts = _numbers_in(whole)
    if not any(parts):
        return None
    if len(parts) != 4 or not all(parts):
        raise layout.error(
            f"{where}: a box is four numbers, x, y, w and h; got '{' '.join(parts)[:_SHOWN]}'"
        )
    return box_of([_pixels(part, where, layout) for part in parts], where, layout)


def _numbers_in(text: str) -> list[str]:
    """Return the content of a box column: a JSON list, or numbers between blanks and signs."""
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if isinstance(values, list):
        return [str(value) for value in values]
    return [part for part in re.split(r"[\s,;]+", text.strip("()[] ")) if part]


def _pixels(text: str, where: str, layout: Layout) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:  # NaN, too
        raise layout.error(
            f"{where}: '{printable(text[:_SHOWN])}' is not a number of pixels; write x, y, w and "
            "h, with a dot before a fraction"
        )
    return value


def box_of(values: Iterable[float], where: str, layout: Layout) -> Box:
    """Return a box in whole pixels; halves are rounded up.

    Args:
        values: left, top, width and height, pixels; left and top count from 0.
        where: location, for errors.
        layout: for errors.

    Raises:
        DataError: it is empty, or its numbers are fractions of the image's size.
    """
    numbers = tuple(values)
    if max(numbers[2:]) <= 1 and any(value != math.floor(value) for value in numbers[2:]):
        raise layout.error(
            f"{where}: the box is {numbers[2]:g} x {numbers[3]:g} pixels; if these are shares of "
            "the image's width and height, multiply them, because a box is in pixels"
        )
    box = Box(*(math.floor(value + 0.5) for value in numbers))
    if box.width < 1 or box.height < 1:
        raise layout.error(
            f"{where}: the box is {box.width} x {box.height} pixels, so that it holds no image; "
            "correct it or remove the row"
        )
    return box
