"""``folder:DIR``: one folder for each identity, with cameras in the file names."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

from torchreid_adv import config
from torchreid_adv.core.manifest import SIDES
from torchreid_adv.data.listing import Layout, ListedFiles, images_at, subfolders
from torchreid_adv.data.own.labels import word_of
from torchreid_adv.data.own.listed import Listed
from torchreid_adv.data.public_sets import two_cameras
from torchreid_adv.errors import ConfigError

CAMERA = r"(?:^|[^A-Za-z0-9])(?:c|cam|camera)[-_ ]?(\d+)"  # overridden by adv.data.camera


def rows_of_folder(folder: Path) -> tuple[list[Listed], Layout]:
    """Return the images of a folder, and its layout for errors.

    ``{train,query,gallery}/<identity>/*`` or ``<identity>/*``; in the latter case the first image
    of each identity by name is its query, if there is another one for the gallery.

    Raises:
        ConfigError: ``adv.data.camera`` is not a pattern with one group.
        DataError: a folder is missing or empty, or only some names contain a camera.
    """
    layout = Layout(
        folder.name,
        "{train,query,gallery}/<identity>/<file>, or <identity>/<file>, with a camera such as c1 "
        "or cam1 in the names of the files (adv.data.camera gives another pattern)",
    )
    names: dict[str, str] = {}
    for name in subfolders(folder, layout):
        other = names.setdefault(name.casefold(), name)
        if other != name and name.casefold() in SIDES:
            raise layout.error(
                f"'{folder}' has the folders '{other}' and '{name}'; put one into the other"
            )
    split = [side for side in SIDES if side in names]
    if split == ["train"]:
        raise layout.error(f"'{folder}' has a folder train, but neither query nor gallery")
    if not split:
        rows = list(_without_splits(folder, layout))
        if rows and not any(row.split == "query" for row in rows):
            raise layout.error(
                f"each identity in '{folder}' has a single image, which leaves nothing to find; "
                "put two images or more into a folder, or make the folders query and gallery"
            )
    else:
        rows = [
            row
            for side in SIDES
            if side in names
            for row in _side(folder / names[side], side, layout)
        ]
        others = [name for key, name in sorted(names.items()) if key not in SIDES]
        ListedFiles(folder, layout).warn_of_unlisted(others)
    return _with_cameras(rows, layout), layout


def _side(folder: Path, side: str, layout: Layout) -> Iterator[Listed]:
    for path in sorted(images_at(folder, layout, depth=1)):
        yield _listed(path, side, layout)


def _without_splits(folder: Path, layout: Layout) -> Iterator[Listed]:
    people: dict[str, list[str]] = {}
    for path in sorted(images_at(folder, layout, depth=1)):
        people.setdefault(os.path.dirname(path), []).append(path)
    for paths in people.values():
        for number, path in enumerate(paths):
            query = number == 0 and len(paths) > 1
            yield _listed(path, "query" if query else "gallery", layout)


def _listed(path: str, split: str, layout: Layout) -> Listed:
    pid = word_of(os.path.basename(os.path.dirname(path)), "pid", f"the folder of '{path}'", layout)
    return Listed(path, os.path.realpath(path), pid, "", split, f"'{path}'")


def _with_cameras(rows: list[Listed], layout: Layout) -> list[Listed]:
    """Return the rows with the cameras in their names: for all of them, or none.

    Raises:
        DataError: only some names contain a camera.
    """
    pattern = _pattern(config.current().adv.data.camera)
    cameras = [_camera(pattern, row, layout) for row in rows]
    with_camera = sum(camera is not None for camera in cameras)
    if not with_camera:
        if config.current().adv.data.camera:
            raise ConfigError(
                f"adv.data.camera '{pattern.pattern}' is in no file name, such as "
                f"'{os.path.basename(rows[0].path)}'; correct it, or leave it out for no cameras"
            )
        return rows
    if with_camera < len(rows):
        other = next(row for row, camera in zip(rows, cameras, strict=True) if camera is None)
        raise layout.error(
            f"'{other.path}' does not tell its camera by the pattern '{pattern.pattern}', and "
            f"{with_camera} of {len(rows)} files do; rename it, or give another pattern in "
            "adv.data.camera"
        )
    return [
        dataclasses.replace(row, camid=word_of(camera or "", "camid", row.where, layout))
        for row, camera in zip(rows, cameras, strict=True)
    ]


def _camera(pattern: re.Pattern[str], row: Listed, layout: Layout) -> str | None:
    """Return the camera in the name of a file, None for none.

    Raises:
        DataError: there are two.
    """
    words = [match[1] or "" for match in pattern.finditer(os.path.basename(row.path))]
    words = [w.lstrip("0") or "0" if w.isascii() and w.isdecimal() else w for w in words]
    other = next((word for word in words if word != words[0]), None)
    if other is not None:
        raise layout.error(
            f"{two_cameras(row.path, words[0], other)}, or give a pattern that finds one in "
            f"adv.data.camera (now '{pattern.pattern}')"
        )
    return words[0] if words else None


def _pattern(text: str) -> re.Pattern[str]:
    """Compile the pattern of a camera.

    Raises:
        ConfigError: it is not a pattern, or does not have one group.
    """
    try:
        pattern = re.compile(text or CAMERA, re.ASCII if not text else 0)
    except re.error as error:
        raise ConfigError(
            f"adv.data.camera '{text}' is not a regular expression: {error}"
        ) from error
    if pattern.groups != 1:
        raise ConfigError(
            f"adv.data.camera '{text}' has {pattern.groups} groups; write the camera's part of a "
            r"file name as the one group, such as 'view(\d+)'"
        )
    return pattern
