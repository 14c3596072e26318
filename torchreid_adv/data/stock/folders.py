"""Market-1501, DukeMTMC-reID, CUHK02, CUHK-SYSU, SenseReID, University-1652: by file names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from torchreid_adv.data.listing import Layout, images_at
from torchreid_adv.data.lists import number_of
from torchreid_adv.data.public_sets import (
    Item,
    Sides,
    from_0,
    home_of,
    labeled_as_torchreid,
    matched,
    named_images,
    numbered,
    warn_of_shared,
)
from torchreid_adv.registry import LAYOUTS

JUNK = -1  # Market-1501's false detections, excluded by its layout

_THREE = "bounding_box_train, query and bounding_box_test with files"
MARKET = Layout("market1501", f"{_THREE} <pid>_c<camera>s<sequence>_<frame>_<number>.jpg")
DUKE = Layout("dukemtmcreid", f"{_THREE} <pid>_c<camera>_f<frame>.jpg")
CUHK02 = Layout("cuhk02", "P1 to P5, each with cam1 and cam2 with files <pid>_<number>.png")
CUHKSYSU = Layout("cuhksysu", "cropped_images with files p<pid>_s<scene>_<number>.jpg")
SENSEREID = Layout("sensereid", "test_probe and test_gallery with files <pid>_<camera>.jpg")
UNIVERSITY = Layout(
    "university1652",
    "train/<view>/<building>, test/query_drone/<building> and test/gallery_satellite/<building> "
    "with images",
)

_MARKET_NAME = re.compile(r"(?P<pid>-1|\d+)_c(?P<camera>\d+)", re.ASCII)
_DUKE_NAME = re.compile(r"(?P<pid>-?\d+)_c(?P<camera>\d+)", re.ASCII)
_CUHK02_NAME = re.compile(r"(?P<pid>\d+)_", re.ASCII)
_SYSU_NAME = re.compile(r"(?P<pid>p?\d+)_", re.ASCII)
_SENSE_NAME = re.compile(r"(?P<pid>\d+)_(?P<camera>\d+)\.\w+$", re.ASCII)

PAIRS = ("P1", "P2", "P3", "P4", "P5")  # camera pairs of CUHK02; the last is for the test


@LAYOUTS.register("market1501")
def market1501(root: str, market1501_500k: bool = False, **_: Any) -> Sides:
    """Read Market-1501, with any number of identities and cameras; -1 is junk, 0 a distractor."""
    places = ("market1501/Market-1501-v15.09.15", "market1501")
    home = home_of("market1501", root, places, MARKET.text)
    train, query, gallery = (
        _market_images(home / side) for side in ("bounding_box_train", "query", "bounding_box_test")
    )
    if market1501_500k:
        gallery += _market_images(home / "images")
    warn_of_shared("market1501", train, query, gallery)
    return Sides(labeled_as_torchreid(train), query, gallery)


def _market_images(folder: Path) -> list[Item]:
    items = [
        image.item for image in named_images(folder, _MARKET_NAME, MARKET) if image.pid != JUNK
    ]
    if not items:
        raise MARKET.error(f"there is an empty split, all images in '{folder}' are junk (-1)")
    return items


@LAYOUTS.register("dukemtmcreid")
def dukemtmcreid(root: str, **_: Any) -> Sides:
    """Read DukeMTMC-reID, with any number of identities and cameras."""
    home = home_of("dukemtmcreid", root, ("dukemtmc-reid/DukeMTMC-reID",), DUKE.text)
    train, query, gallery = (
        [image.item for image in named_images(home / side, _DUKE_NAME, DUKE)]
        for side in ("bounding_box_train", "query", "bounding_box_test")
    )
    warn_of_shared("dukemtmcreid", train, query, gallery)
    return Sides(labeled_as_torchreid(train), query, gallery)


@LAYOUTS.register("cuhk02")
def cuhk02(root: str, **_: Any) -> Sides:
    """Read CUHK02: pairs P1 to P4 for training, P5 for the test; no identity is in two pairs."""
    home = home_of("cuhk02", root, ("cuhk02/Dataset",), CUHK02.text)
    cameras = [
        [
            (path, (pair, int(name["pid"])), 2 * number + side)
            for path, name in matched(
                images_at(home / pair / f"cam{side + 1}", CUHK02), _CUHK02_NAME, CUHK02
            )
        ]
        for number, pair in enumerate(PAIRS)
        for side in range(2)
    ]
    query, gallery = ([(path, pid, cam) for path, (_, pid), cam in rows] for rows in cameras[-2:])
    return Sides(from_0([row for rows in cameras[:-2] for row in rows]), query, gallery)


@LAYOUTS.register("cuhksysu")
def cuhksysu(root: str, **_: Any) -> Sides:
    """Read the cropped people of CUHK-SYSU, only for training; query and gallery are one image."""
    home = home_of("cuhksysu", root, ("cuhksysu",), CUHKSYSU.text)
    images = matched(images_at(home / "cropped_images", CUHKSYSU), _SYSU_NAME, CUHKSYSU)
    train = from_0((path, name["pid"], 0) for path, name in images)
    return Sides(train, train[:1], train[:1])


@LAYOUTS.register("sensereid")
def sensereid(root: str, **_: Any) -> Sides:
    """Read SenseReID, only for testing: its training images are its test images."""
    home = home_of("sensereid", root, ("sensereid/SenseReID",), SENSEREID.text)
    query, gallery = (
        list(named_images(home / side, _SENSE_NAME, SENSEREID, first_camera=0))
        for side in ("test_probe", "test_gallery")
    )
    labels = numbered(image.pid for image in (*query, *gallery))
    rows = [[(i.path, labels[i.pid], i.camera) for i in side] for side in (query, gallery)]
    return Sides(rows[0] + rows[1], *rows)


@LAYOUTS.register("university1652")
def university1652(root: str, **_: Any) -> Sides:
    """Read University-1652, drone to satellite; without cameras, each image counts as one."""
    home = home_of("university1652", root, ("university1652/University-Release",), UNIVERSITY.text)
    folders = (("train", 2), ("test/query_drone", 1), ("test/gallery_satellite", 1))
    sides, camera = [], 0
    for place, depth in folders:
        paths = sorted(images_at(home / place, UNIVERSITY, depth=depth))
        sides.append([(p, _building(p), camera + n) for n, p in enumerate(paths)])
        camera += len(paths)
    return Sides(labeled_as_torchreid(sides[0]), *sides[1:])


def _building(path: str) -> int:
    name = os.path.basename(os.path.dirname(path))
    if not (name.isascii() and name.isdecimal()):
        raise UNIVERSITY.error(f"'{path}' is in the folder '{name}', not in one with a number")
    return number_of(name, f"the folder of '{path}'", UNIVERSITY)
