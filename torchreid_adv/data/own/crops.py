"""Boxes in images, cropped once and stored as PNG: attacks need stored files."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_adv.core.cache import Cache, Key, read_json
from torchreid_adv.core.contents import Contents
from torchreid_adv.core.files import write_text
from torchreid_adv.core.speaking import progress_bar
from torchreid_adv.data.images import is_turned, read_pixels, write_png
from torchreid_adv.data.listing import Layout
from torchreid_adv.data.own.listed import Box, Listed
from torchreid_adv.data.warned import warn
from torchreid_adv.errors import DataError

FOLDER = "crops"  # below the data root
FILES = "images"  # in a stored folder
FORMAT = 2  # of a stored folder, which has its boxes.json
BOXES = "boxes.json"  # in a stored folder: kind of odd boxes -> their number, and the first
_MOST, _HALF = 0.9, 0.5  # shares of a box inside of its image
_LEAST = 4  # pixels of a crop's shorter side
_ODD = {  # kind -> largest share of boxes without a warning, and the warning
    "cut": (
        0.5,
        "reach out of their images by a tenth or more; are they x1, y1, x2, y2? A box is left, "
        "top, width and height",
    ),
    "outside": (0.0, "lie outside of their images for more than a half; correct them"),
    "turned": (
        0.0,
        "are in images with an EXIF orientation, which is not applied: a box is taken in the image "
        "as it is stored. If boxes were drawn in the turned image, save the images as they are "
        "shown",
    ),
    "small": (0.0, f"hold fewer than {_LEAST} pixels in width or height; correct or remove them"),
}


def with_crops(
    rows: Sequence[Listed], root: str | Path, label: str, layout: Layout
) -> list[Listed]:
    """Return rows whose boxes are separate files, cropped if necessary.

    The files are in ``<root>/crops/<label>-<hash>``, named after image and box. The hash covers all
    images and boxes, so a changed image or box is cropped again.

    Args:
        rows: rows of a list.
        root: data root.
        label: name of the data set.
        layout: for errors.

    Raises:
        DataError: an image cannot be read, or a box is outside of it; the error names the line.
    """
    boxed = [row for row in rows if row.box is not None]
    if not boxed:
        return list(rows)
    whole = next((row for row in rows if row.box is None), None)
    if whole is not None:
        warn(
            f"{whole.where} has no box, and {len(boxed)} of {len(rows)} rows have one: its whole "
            "image is taken for a person",
        )
    missing = next((row for row in boxed if not os.path.isfile(row.path)), None)
    if missing is not None:
        raise layout.error(f"{missing.where}: there is no image '{missing.path}' to cut boxes from")
    top = Path(os.path.abspath(os.path.expanduser(root))) / FOLDER
    names, contents = _names(boxed), Contents(top)
    digests = dict(zip(names, contents.of(names), strict=True))
    facts = sorted({(names[row.path], digests[row.path], *_of(row)) for row in boxed})
    key = Key.of(crops=[list(fact) for fact in facts], format=FORMAT)
    top.mkdir(parents=True, exist_ok=True)
    folder = Cache(top).folder(label, key, lambda place: _cut(boxed, names, place))
    contents.keep()
    _warn_of_boxes(read_json(folder / BOXES), {_facts(row, names): row.where for row in boxed})
    return [
        row if row.box is None else replace(row, path=str(_file(folder, row, names)), box=None)
        for row in rows
    ]


def _of(row: Listed) -> Box:
    assert row.box is not None  # only rows with a box get here
    return row.box


def _facts(row: Listed, names: dict[str, str]) -> tuple[Any, ...]:
    """Return what tells a box from others: the name of its crops, and the box."""
    return (names[row.path], *_of(row))


def _names(rows: Sequence[Listed]) -> dict[str, str]:
    """Return the names of each image's crops: its path below their common folder, no suffix."""
    paths = sorted({row.path for row in rows})
    top = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = {path: os.path.relpath(path, top) for path in paths}
    stems = Counter(os.path.splitext(name)[0].casefold() for name in names.values())
    return {
        path: stem if stems[stem.casefold()] == 1 else f"{stem}_{suffix[1:]}"
        for path, (stem, suffix) in ((path, os.path.splitext(n)) for path, n in names.items())
    }


def _file(folder: Path, row: Listed, names: dict[str, str]) -> Path:
    box = _of(row)
    place = f"x{box.left}y{box.top}w{box.width}h{box.height}"
    return folder / FILES / f"{names[row.path]}_{place}.png"


def _cut(rows: Sequence[Listed], names: dict[str, str], folder: Path) -> None:
    """Write all crops, and which boxes are odd; each image is read once."""
    of_image: dict[str, list[Listed]] = {}
    for row in rows:
        of_image.setdefault(row.path, []).append(row)
    odd: dict[str, list[Any]] = {kind: [] for kind in _ODD}
    with progress_bar("cutting boxes", total=len(rows)) as bar:
        for path, boxes in of_image.items():
            pixels, turned = _read(path, boxes[0]), is_turned(path)
            for row in boxes:
                file = _file(folder, row, names)
                file.parent.mkdir(parents=True, exist_ok=True)
                crop = cut(pixels, _of(row), row.where, path)
                write_png(file, crop)
                for kind in (*_odd(crop.shape, _of(row)), *["turned"] * turned):
                    odd[kind].append(_facts(row, names))
            bar.update(len(boxes))
    facts = {kind: [len(places), places[0]] for kind, places in odd.items() if places}
    write_text(folder / BOXES, json.dumps(facts) + "\n")


def _odd(shape: Sequence[int], box: Box) -> Iterator[str]:
    """Yield the kinds of :data:`_ODD` that a box is of, by the shape of its crop."""
    inside = shape[0] * shape[1] / (box.width * box.height)
    if inside < _MOST:
        yield "cut"
    if inside < _HALF:
        yield "outside"
    if min(shape[:2]) < _LEAST:
        yield "small"


def _warn_of_boxes(odd: dict[str, Any], places: dict[tuple[Any, ...], str]) -> None:
    """Warn of boxes that are probably not meant so, as they were counted when they were cropped.

    Args:
        odd: kind of :data:`_ODD` -> number of its boxes, and :func:`_facts` of the first.
        places: facts of a box -> where it is.
    """
    for kind, (count, first) in odd.items():
        share, text = _ODD[kind]
        if count > share * len(places):
            place = places[tuple(first)]
            warn(f"{count} of {len(places)} boxes {text} (first: {place})")


def _read(path: str, row: Listed) -> np.ndarray:
    try:
        return read_pixels(path)
    except DataError as error:
        raise DataError(f"{row.where}: {error}") from error


def cut(pixels: np.ndarray, box: Box, where: str, path: str) -> np.ndarray:
    """Return the part of an image (H, W, 3) in a box, as far as it is inside the image.

    Raises:
        DataError: the box is outside of the image.
    """
    height, width = pixels.shape[:2]
    top, bottom = max(box.top, 0), min(box.top + box.height, height)
    left, right = max(box.left, 0), min(box.left + box.width, width)
    if top >= bottom or left >= right:
        raise DataError(
            f"{where}: the box {' '.join(map(str, box))} (x y w h) lies outside of '{path}', which "
            f"is {width} x {height} pixels; correct it or remove the row"
        )
    return np.ascontiguousarray(pixels[top:bottom, left:right])
