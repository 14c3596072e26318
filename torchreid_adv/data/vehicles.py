"""VeRi-776, VehicleID and VERI-Wild: vehicles instead of people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.data.listing import Layout, ListedFiles
from torchreid_adv.data.lists import Line, lines_of, number_of
from torchreid_adv.data.public_sets import (
    Item,
    from_0,
    home_of,
    named_images,
    numbered,
    warn_of_shared,
)
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset

_VERI = Layout(
    "veri776", "image_train, image_query and image_test with files <vehicle>_c<camera>_*.jpg"
)
_VERI_NAME = re.compile(r"(?P<pid>\d+)_c(?P<camera>\d+)_", re.ASCII)

SIZES = (800, 1600, 2400, 13164)  # vehicles of VehicleID's test lists, by data.split_id
_VEHICLEID = Layout(
    "vehicleid",
    "image/<image>.jpg, and train_test_split with train_list.txt and test_list_<vehicles>.txt of "
    "lines '<image> <vehicle>'",
)
_PAIR = re.compile(r"(?P<image>\d+)\s+(?P<pid>\d+)", re.ASCII)

WILD_SIZES = (3000, 5000, 10000)  # vehicles of VERI-Wild's test lists, by data.split_id
_WILD = Layout(
    "veri_wild",
    "images/<vehicle>/<image>.jpg, and train_test_split with vehicle_info.txt of lines "
    "'<vehicle>/<image>;<camera>;...' after the first, train_list.txt, test_<vehicles>.txt and "
    "test_<vehicles>_query.txt of lines '<vehicle>/<image>'",
)
_INFO = re.compile(r"(?P<name>\d+/[^;/]+);(?P<camera>\d+);.*", re.ASCII)
_WILD_NAME = re.compile(r"(?P<pid>\d+)/[^/]+", re.ASCII)


@DATASETS.register("veri776", video=False)
class VeRi776(ImageDataset):
    """VeRi-776: vehicles by 20 cameras, evaluated as Market-1501.

    Liu et al., A Deep Learning-Based Approach to Progressive Vehicle Re-identification for Urban
    Surveillance, 2016. Read from ``<root>/VeRi`` or ``<root>/veri``.

    Args:
        root: data root.
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        DataError: a folder is missing or empty, or a name is not of the public layout.
    """

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        folder = home_of("veri776", root, ("VeRi", "veri", "VeRi-776"), _VERI.text)
        self.dataset_dir = str(folder)
        train, query, gallery = (
            [image.item for image in named_images(folder / f"image_{side}", _VERI_NAME, _VERI)]
            for side in ("train", "query", "test")
        )
        warn_of_shared("veri776", train, query, gallery)
        super().__init__(from_0(train), query, gallery, **kwargs)


@DATASETS.register("vehicleid", video=False, protocol="vehicleid")
class VehicleID(ImageDataset):
    """VehicleID: the gallery is a drawn image of each vehicle, ten times; the others are queries.

    Liu et al., Deep Relative Distance Learning: Tell the Difference Between Similar Vehicles, 2016.
    Read from ``<root>/VehicleID_V1.0`` or ``<root>/vehicleid``. All test images are on both sides,
    and each counts as its own camera: see the protocol ``vehicleid``.

    Args:
        root: data root.
        split_id: 0, 1 and 2 = the lists of 800, 1,600 and 2,400 vehicles, 3 = that of 13,164
            (``data.split_id``).
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        ConfigError: split_id is out of range.
        DataError: a folder or a list is missing, or a line is not of the public layout.
    """

    protocol = "vehicleid"

    def __init__(self, root: str = "", split_id: int = 0, **kwargs: Any) -> None:
        size = _size("vehicleid", split_id, SIZES)
        folder = home_of("vehicleid", root, ("VehicleID_V1.0", "vehicleid"), _VEHICLEID.text)
        self.dataset_dir = str(folder)
        files, lists = ListedFiles(folder / "image", _VEHICLEID), folder / "train_test_split"
        train = list(_pairs(lists / "train_list.txt", files))
        tested = list(_pairs(lists / f"test_list_{size}.txt", files))
        warn_of_shared("vehicleid", train, tested)
        rows = [(path, pid, number) for number, (path, pid, _) in enumerate(tested)]
        super().__init__(from_0(train), rows, list(rows), **kwargs)


def _pairs(path: Path, files: ListedFiles) -> Iterator[Item]:
    for line in lines_of(path, _VEHICLEID):
        match = _PAIR.fullmatch(line.text)
        if match is None:
            raise _VEHICLEID.error(f"{line.where} is '{line.text[:80]}', not '<image> <vehicle>'")
        pid = number_of(match["pid"], line.where, _VEHICLEID)
        yield files.path(f"{match['image']}.jpg", line.where), pid, 0


@DATASETS.register("veri_wild", video=False)
class VERIWild(ImageDataset):
    """VERI-Wild: vehicles by 174 cameras in a month, evaluated as Market-1501.

    Lou et al., VERI-Wild: A Large Dataset and a New Method for Vehicle Re-Identification in the
    Wild, 2019. Read from ``<root>/VERI-Wild`` or ``<root>/veri-wild``.

    Args:
        root: data root.
        split_id: 0, 1 and 2 = the test of 3,000, 5,000 and 10,000 vehicles (``data.split_id``).
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        ConfigError: split_id is out of range.
        DataError: a folder or a list is missing, or a line is not of the public layout.
    """

    def __init__(self, root: str = "", split_id: int = 0, **kwargs: Any) -> None:
        size = _size("veri_wild", split_id, WILD_SIZES)
        folder = home_of("veri_wild", root, ("VERI-Wild", "veri-wild"), _WILD.text)
        self.dataset_dir = str(folder)
        files, lists = ListedFiles(folder / "images", _WILD), folder / "train_test_split"
        cameras = _wild_cameras(lists / "vehicle_info.txt")
        train, query, gallery = (
            [_wild_row(line, cameras, files) for line in lines_of(lists / f"{name}.txt", _WILD)]
            for name in ("train_list", f"test_{size}_query", f"test_{size}")
        )
        warn_of_shared("veri_wild", train, query, gallery)
        super().__init__(from_0(train), query, gallery, **kwargs)


def _wild_cameras(path: Path) -> dict[str, int]:
    """Return '<vehicle>/<image>' -> camera from 0, ordered by the cameras' numbers."""
    cameras: dict[str, int] = {}
    for number, line in enumerate(lines_of(path, _WILD)):
        match = _INFO.fullmatch(line.text)
        if match is None and number == 0:  # names of the columns
            continue
        if match is None:
            raise _WILD.error(f"{line.where} is '{line.text[:80]}'")
        camera = number_of(match["camera"], line.where, _WILD)
        if cameras.setdefault(match["name"], camera) != camera:
            raise _WILD.error(f"{line.where} gives '{match['name']}' another camera than before")
    order = numbered(cameras.values())
    return {name: order[camera] for name, camera in cameras.items()}


def _wild_row(line: Line, cameras: dict[str, int], files: ListedFiles) -> Item:
    match = _WILD_NAME.fullmatch(line.text)
    if match is None:
        raise _WILD.error(f"{line.where} is '{line.text[:80]}', not '<vehicle>/<image>'")
    if line.text not in cameras:
        raise _WILD.error(f"{line.where} names '{line.text}', which vehicle_info.txt does not")
    pid = number_of(match["pid"], line.where, _WILD)
    return files.path(f"{line.text}.jpg", line.where), pid, cameras[line.text]


def _size(name: str, split_id: int, sizes: tuple[int, ...]) -> int:
    """Return the number of test vehicles for a ``data.split_id``.

    Raises:
        ConfigError: there is no such test.
    """
    if split_id not in range(len(sizes)):
        tests = ", ".join(f"{number} ({size:,} vehicles)" for number, size in enumerate(sizes))
        raise ConfigError(f"data.split_id of {name} is {tests}; got {split_id!r}")
    return sizes[split_id]
