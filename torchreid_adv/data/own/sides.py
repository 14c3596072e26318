"""Rows of a list as the three sides of a data set, checked against each other."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torchreid_adv import config
from torchreid_adv.core.contents import Contents
from torchreid_adv.core.manifest import SIDES
from torchreid_adv.data.copies import SAME_CAMERA, WRONG, Labeled, doubts
from torchreid_adv.data.cross_modality.modality import VISIBLE
from torchreid_adv.data.listing import Layout
from torchreid_adv.data.own.labels import Numbers, check_spelling
from torchreid_adv.data.own.listed import Listed
from torchreid_adv.data.warned import warn

NO_CAMERAS = "no_cameras"
CLOTHES = ("clothes_changed", "clothes_same")  # protocols that compare clothes
_SHOWN = 5


@dataclass(frozen=True)
class OwnSides:
    """An own data set in the form for torchreid's classes.

    Args:
        train: rows of file (or frames), identity, camera, modality.
        query: as train.
        gallery: as train.
        protocol: its evaluation protocol, "" = as Market-1501.
        modalities: whether it has modalities.
        clothes: path -> clothes, for images and first frames.
        views: path -> number of the view.
        names: "train", "test", "camera" and "view" -> names by number, if numbers stand for names.
    """

    train: list[tuple[Any, int, int, int]]
    query: list[tuple[Any, int, int, int]]
    gallery: list[tuple[Any, int, int, int]]
    protocol: str = ""
    modalities: bool = False
    clothes: dict[str, str] = field(default_factory=dict)
    views: dict[str, int] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)


Cut = Callable[[Sequence[Listed]], list[Listed]]


def sides_of(rows: Sequence[Listed], layout: Layout, cut: Cut) -> OwnSides:
    """Return the sides of a data set.

    Args:
        rows: rows of its list.
        layout: for errors.
        cut: makes files of boxes, after the rows have been checked.

    Raises:
        DataError: rows exclude each other; the error names their lines.
    """
    for side in ("query", "gallery"):
        if not any(row.split == side for row in rows):
            raise layout.error(
                f"there is an empty split, no row has the split {side}; a data set is searched for "
                "its queries in its gallery"
            )
    _check_alike(rows, layout)
    protocol = _protocol(rows, layout)
    _check_clothes(rows, protocol, layout)
    for kind in ("pid", "camid", "view", "clothes"):
        check_spelling(((str(getattr(r, kind)), r.where) for r in rows), kind, layout)
    _check_files(rows, protocol, layout)
    rows = cut(rows)
    if config.current().adv.data.copies == "refuse":
        _check_copies(rows, protocol, layout)
    cameras = Numbers.of(row.camid for row in rows if row.camid)
    train = Numbers.of(row.pid for row in rows if row.split == "train")
    test = Numbers.kept(row.pid for row in rows if row.split != "train")
    views = Numbers.kept(row.view for row in rows if row.view)
    _warn_of_shared(train, test, layout)
    pids = {"train": train.number, "query": test.number, "gallery": test.number}
    sides: dict[str, list[Any]] = {side: [] for side in SIDES}
    for number, (files, row) in enumerate(_tracklets(rows, layout)):
        camid = cameras.number.get(row.camid, number)  # without cameras, each image is one
        modality = VISIBLE if row.modality is None else row.modality
        sides[row.split].append((files, pids[row.split][row.pid], camid, modality))
    words = {"train": train, "test": test, "camera": cameras, "view": views}
    return OwnSides(
        **sides,
        protocol=protocol,
        modalities=rows[0].modality is not None,
        clothes={row.path: row.clothes for row in rows if row.clothes},
        views={row.path: views.number[row.view] for row in rows if row.view},
        names={name: numbers.words for name, numbers in words.items() if numbers.words},
    )


def _check_alike(rows: Sequence[Listed], layout: Layout) -> None:
    """Refuse rows if only some have a camera, modality or tracklet."""
    first = rows[0]
    for column in ("camid", "modality", "tracklet", "protocol"):
        is_given = getattr(first, column) not in ("", None)
        for row in rows:
            if (getattr(row, column) not in ("", None)) != is_given:
                lacking = first if not is_given else row
                raise layout.error(
                    f"{lacking.where} has no {column}, and other rows have one; write it in every "
                    "row, or in none"
                )


def _protocol(rows: Sequence[Listed], layout: Layout) -> str:
    """Return the protocol of all rows; without protocol and cameras, the one without cameras.

    Raises:
        DataError: rows name different ones, or only some have a camera.
    """
    first = rows[0]
    for row in rows:
        if row.protocol != first.protocol:
            raise layout.error(
                f"{row.where} names the protocol '{row.protocol}', {first.where} "
                f"'{first.protocol}'; a data set has one"
            )
    if first.camid:
        return "" if first.protocol == "market1501" else first.protocol
    protocol = first.protocol or NO_CAMERAS
    warn(
        f"the list '{layout.name}' does not tell cameras (column camid): it is scored by the "
        f"protocol '{protocol}', and no gallery image is left out for being of the query's camera",
    )
    return protocol


def _check_clothes(rows: Sequence[Listed], protocol: str, layout: Layout) -> None:
    """Refuse test images without clothes where clothes decide which matches count."""
    bare = next((r for r in rows if r.split != "train" and not r.clothes), None)
    if protocol in CLOTHES and bare is not None:
        raise layout.error(
            f"{bare.where} has no clothes, which the protocol '{protocol}' compares; write them "
            "in every row of the test"
        )


def _check_files(rows: Sequence[Listed], protocol: str, layout: Layout) -> None:
    """Refuse a file, or a box in a file, that appears twice where it must not."""
    seen: dict[Any, dict[str, Listed]] = {}
    for row in rows:
        sides = seen.setdefault((row.real, row.box), {})
        if row.split in sides:
            other = sides[row.split]
            same = (row.pid, row.camid) == (other.pid, other.camid)
            raise layout.error(
                f"{row.where} has '{_described(row)}' again, which {other.where} has in the split "
                f"{row.split}{'' if same else ', as another identity or camera'}; remove one"
            )
        sides[row.split] = row
        for other in sides.values():
            if other is not row:
                _check_two_sides(row, other, protocol, layout)


def _check_two_sides(row: Listed, other: Listed, protocol: str, layout: Layout) -> None:
    if "train" in (row.split, other.split):
        raise layout.error(
            f"{row.where} has '{_described(row)}' in the split {row.split}, "
            f"{other.where} in the split {other.split}; an image is for training or for the test"
        )
    if (row.pid, row.camid) != (other.pid, other.camid):
        raise layout.error(
            f"{row.where} has '{_described(row)}' as identity '{row.pid}', camera '{row.camid}', "
            f"{other.where} as identity '{other.pid}', camera '{other.camid}'; correct one"
        )
    if protocol not in SAME_CAMERA:
        raise layout.error(
            f"{row.where} and {other.where} have '{_described(row)}' as query and in the "
            f"gallery, where it finds itself by the protocol '{protocol}'; remove one"
        )


def _check_copies(rows: Sequence[Listed], protocol: str, layout: Layout) -> None:
    """Refuse files with equal bytes and different labels."""
    labeled: dict[str, list[Labeled]] = {}
    for row in rows:
        where = row.where if row.path in row.where else f"{row.where}, '{row.path}'"
        path = os.path.abspath(row.path)
        labeled.setdefault(path, []).append(Labeled(path, row.split, row.pid, row.camid, where))
    groups = [
        [each for path in paths for each in labeled[path]] for paths in Contents().equal(labeled)
    ]
    for doubt in doubts(groups, protocol, WRONG):
        raise layout.error(
            f"{doubt.sentence(layout.name)}; remove the copies or correct their labels, or set "
            "adv.data.copies warn to have this recorded with the results"
        )


def _described(row: Listed) -> str:
    return row.path if row.box is None else f"{row.path}, box {' '.join(map(str, row.box))}"


def _warn_of_shared(train: Numbers, test: Numbers, layout: Layout) -> None:
    shared = sorted(train.number.keys() & test.number.keys())
    if shared:
        more = f" and {len(shared) - _SHOWN} more" if len(shared) > _SHOWN else ""
        warn(
            f"the list '{layout.name}' has {len(shared)} identities in training and in the test: "
            f"{', '.join(shared[:_SHOWN])}{more}; a model that is trained on it knows them",
        )


def _tracklets(rows: Sequence[Listed], layout: Layout) -> list[tuple[Any, Listed]]:
    """Return files and first row of each image, or frames and first row of each tracklet."""
    if not rows[0].tracklet:
        return [(row.path, row) for row in rows]
    groups: dict[tuple[Any, ...], list[Listed]] = {}
    for row in rows:
        key = row.split, row.pid, row.camid, row.modality, row.tracklet
        groups.setdefault(key, []).append(row)
    return [
        (tuple(frame.path for frame in frames), frames[0])
        for frames in (_in_order(group, layout) for group in groups.values())
    ]


def _in_order(frames: list[Listed], layout: Layout) -> list[Listed]:
    """Return the frames of a tracklet by number, or by name if none has a number.

    Raises:
        DataError: only some have a number, two have the same, or clothes differ.
    """
    first = frames[0]
    numbers: dict[int | None, Listed] = {}
    for row in frames:
        if (row.frame is None) != (first.frame is None):
            raise layout.error(f"{row.where} or {first.where} has no frame; give every row one")
        if row.frame is not None and row.frame in numbers:
            raise layout.error(
                f"{row.where} is frame {row.frame} of the tracklet '{row.tracklet}', and so is "
                f"{numbers[row.frame].where}; number frames once, or give tracklets other names"
            )
        if (row.clothes, row.view) != (first.clothes, first.view):
            raise layout.error(
                f"{row.where} and {first.where} belong to one tracklet but have different clothes "
                "or views; correct one"
            )
        numbers[row.frame] = row
    if first.frame is None:
        return sorted(frames, key=lambda row: _natural(row.path))
    return sorted(frames, key=lambda row: row.frame or 0)


def _natural(path: str) -> tuple[Any, ...]:
    """Return a sort key for names that puts 2 before 10."""
    folder, name = os.path.split(path)
    parts = re.split(r"(\d+)", name)
    return folder, [(int(p), p) if p.isdecimal() else (-1, p) for p in parts], name
