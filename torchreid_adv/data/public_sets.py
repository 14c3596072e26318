"""Shared parts of readers of public layouts: folders, file names, numbering."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from torchreid_adv.core.files import near_path
from torchreid_adv.data.listing import Layout, images_at
from torchreid_adv.data.lists import number_of
from torchreid_adv.data.warned import warn
from torchreid_adv.errors import ConfigError, DataError

Item = tuple[str, int, int]  # path, identity, camera from 0, in the form of torchreid's data sets

_SHOWN = 5

K = TypeVar("K", bound=Hashable)


class Sides(NamedTuple):
    """The result of a layout's reader: rows (path or paths, identity, camera from 0)."""

    train: list[Any]
    query: list[Any]
    gallery: list[Any]


class Named(NamedTuple):
    """An image file and the numbers in its name."""

    path: str
    pid: int
    camera: int

    @property
    def item(self) -> Item:
        """The image as torchreid lists it, for cameras that count from 1."""
        return self.path, self.pid, self.camera - 1


def home_of(name: str, root: str | Path, places: Iterable[str], layout: str) -> Path:
    """Return the first existing one of some folders below the data root.

    Args:
        name: name of the data set, for errors.
        root: data root; ``~`` is expanded.
        places: folders below it, the usual one first.
        layout: the public layout below that folder, for errors.

    Raises:
        DataError: none of them exists.
    """
    top, places = Path(os.path.abspath(os.path.expanduser(root))), list(places)
    homes = [top / place for place in places if (top / place).is_dir()]
    if homes:
        others = [h for h in homes[1:] if not (_is_above(h, homes[0]) or _is_above(homes[0], h))]
        if others:
            warn(f"the data set '{name}' is read from '{homes[0]}', and there is '{others[0]}'")
        return homes[0]
    hint = other_root(top, places) or near_path(top / places[0])
    raise DataError(
        f"the data set '{name}' was not found: folder '{top / places[0]}' is missing; put it "
        f"there, so that it holds {layout}, or give another --root{hint}"
    )


def _is_above(folder: Path, other: Path) -> bool:
    """Tell whether a folder is another one, or holds it, behind all links."""
    return other.resolve().is_relative_to(folder.resolve())


def warn_of_shared(name: str, train: Iterable[Any], *test: Iterable[Any]) -> None:
    """Warn of identities in training and in the test, in a set that numbers both alike.

    Args:
        name: name of the data set.
        train: rows of path or paths, identity...; identities as in the names of the files.
        test: rows of queries, and of the gallery.
    """
    tested = {row[1] for rows in test for row in rows}
    shared = sorted({row[1] for row in train} & tested - {0, -1})
    if shared:
        more = f" and {len(shared) - _SHOWN} more" if len(shared) > _SHOWN else ""
        count = "an identity" if len(shared) == 1 else f"{len(shared):,} identities"
        warn(
            f"the data set '{name}' has {count} in training and in the test: "
            f"{', '.join(map(str, shared[:_SHOWN]))}{more}; a model that is trained on it knows "
            "them"
        )


def other_root(top: Path, places: list[str]) -> str:
    """Return a suggestion for the root that was meant, "" if the set is nowhere near.

    Args:
        top: the given root, which may be too deep or too high.
        places: folders of the set below a root.
    """
    try:
        below = [path for path in sorted(top.iterdir()) if path.is_dir()]
    except OSError:
        below = []
    for near in (*list(top.parents)[:3], *below):
        if any((near / place).is_dir() for place in places):
            return f"; did you mean --root '{near}'?"
    for place in places:
        name = Path(place).name
        if place != name and (top / name).is_dir():
            return f"; there is '{top / name}', move it to '{top / place}'"
    return ""


def named_images(
    folder: str | Path, pattern: re.Pattern[str], layout: Layout, *, first_camera: int = 1
) -> Iterator[Named]:
    """Yield the images of a folder with the numbers in their names, in directory order.

    Args:
        folder: its subfolders contain no images.
        pattern: matches the start of a file name, with groups ``pid`` and ``camera``.
        layout: for errors.
        first_camera: the number of the first camera.

    Raises:
        DataError: see :func:`listing.images_at`; or a name does not match.
    """
    for path, match in matched(images_at(folder, layout), pattern, layout):
        camera = int(match["camera"])
        if camera < first_camera:
            raise layout.error(f"'{path}' is of camera {camera}; cameras start from {first_camera}")
        yield Named(path, int(match["pid"]), camera)


def images_in(
    folder: Path, pattern: re.Pattern[str], layout: Layout
) -> Iterator[tuple[str, re.Match[str]]]:
    """Yield path and matched name of the image files of a folder, sorted by name.

    Raises:
        DataError: see :func:`named_images`.
    """
    yield from matched(sorted(images_at(folder, layout)), pattern, layout)


def matched(
    paths: Iterable[str], pattern: re.Pattern[str], layout: Layout
) -> Iterator[tuple[str, re.Match[str]]]:
    """Yield paths and the matches of their file names, without folders, with a pattern.

    Raises:
        DataError: a name does not match, or its numbers are too large.
    """
    for path in paths:
        folder, name = os.path.split(path)
        match = pattern.match(name)
        if match is None:
            raise layout.error(
                f"the file name '{name}' in '{folder}' does not contain identity and camera"
            )
        for number in filter(None, match.groups()):
            if number.lstrip("-").isdecimal():
                number_of(number, f"'{path}'", layout)
        other = other_camera(match)
        if other:
            raise layout.error(two_cameras(path, match["camera"], other))
        yield path, match


def other_camera(match: re.Match[str]) -> str:
    """Return the number of another camera behind the matched one in a name, "" for none.

    Only a number that is marked in the same way counts, as in ``0002_c1s1_c3.jpg``.

    Args:
        match: of a pattern that may have a group ``camera``.
    """
    start = match.start("camera") if match.groupdict().get("camera") else 0
    marker = match.string[max(start - 2, 0) : start]
    if marker[-1:] not in ("c", "C"):
        return ""
    space = "[0-9]" if marker[:-1].isdecimal() else "[^A-Za-z0-9]"
    others = re.findall(rf"{space}[cC](\d+)", match.string[match.end("camera") - 1 :], re.ASCII)
    return next((number for number in others if int(number) != int(match["camera"])), "")


def two_cameras(path: str, camera: str, other: str) -> str:
    """Return what is wrong with a file whose name has two cameras."""
    return f"'{path}' is of camera {camera} and of camera {other} by its name; rename it"


def with_training(sides: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return sides that are never empty: test images replace missing training images.

    torchreid's classes require training images. A set with ``test_only`` is not trained on, and its
    records have none.
    """
    return sides if sides["train"] else {**sides, "train": from_0(sides["gallery"])}


def one_of(splits: list[Any], split_id: int, name: str) -> Any:
    """Return the split of a data set selected by ``data.split_id``.

    Raises:
        ConfigError: there are fewer splits.
        DataError: there are no splits.
    """
    if not splits:
        raise DataError(f"the file of the splits of {name} holds none; remove it or get it again")
    if split_id not in range(len(splits)):
        raise ConfigError(
            f"data.split_id of {name} is 0 to {len(splits) - 1}, got {split_id!r}; choose one of "
            "them"
        )
    return splits[split_id]


def numbered(keys: Iterable[K]) -> dict[K, int]:
    """Return key -> number, from 0 in sorted order."""
    return {key: number for number, key in enumerate(sorted(set(keys)))}  # type: ignore[type-var]


def relabeled(items: Iterable[tuple[str, K, K]]) -> list[Item]:
    """Return items with identities and cameras of any kind numbered from 0."""
    rows = list(items)
    pids = numbered(pid for _, pid, _ in rows)
    camids = numbered(camid for _, _, camid in rows)
    return [(path, pids[pid], camids[camid]) for path, pid, camid in rows]


def from_0(rows: Iterable[tuple[Any, K, int]]) -> list[tuple[Any, int, int]]:
    """Return rows with identities numbered from 0 in sorted order; cameras stay."""
    rows = list(rows)
    labels = numbered(pid for _, pid, _ in rows)
    return [(place, labels[pid], camid) for place, pid, camid in rows]


def labeled_as_torchreid(rows: Iterable[tuple[Any, K, int]]) -> list[tuple[Any, int, int]]:
    """Return rows with identities numbered from 0 in the order of a Python set.

    torchreid numbers them so, and the meaning of a trained classifier's outputs depends on it.
    """
    rows, people = list(rows), set()
    for _, pid, _ in rows:
        people.add(pid)
    labels = {pid: label for label, pid in enumerate(people)}
    return [(place, labels[pid], camid) for place, pid, camid in rows]
