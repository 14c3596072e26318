"""VIPeR, CUHK01, iLIDS, PRID, GRID: splits assign people to training and test.

torchreid draws splits once, from an arbitrary random state, and stores them below the data root
with absolute paths. Such a file is used by its file names: a root may be moved, copied or renamed.
Without a file the splits are drawn, always the same, and stored if the root can be written.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_adv.core.files import inside, write_text
from torchreid_adv.data.listing import SUFFIXES, Layout, ListedFiles, images_at
from torchreid_adv.data.lists import json_of, matlab_of, rows_of
from torchreid_adv.data.public_sets import (
    Item,
    Named,
    Sides,
    from_0,
    home_of,
    labeled_as_torchreid,
    matched,
    one_of,
)
from torchreid_adv.registry import LAYOUTS

Split = dict[str, Any]

DRAWS = 10  # draws of people; VIPeR and CUHK01 use each in both directions
SEED = 0

VIPER = Layout("viper", "cam_a and cam_b, with one file <pid>_<angle>.bmp a person in each")
CUHK01 = Layout("cuhk01", "campus with files <pid, 4 digits><number, 3 digits>.png")
ILIDS = Layout("ilids", "Persons with files <pid, 4 digits><number, 3 digits>.jpg")
PRID = Layout(
    "prid", "cam_a with person_0001.png to person_0385.png, cam_b with person_0001.png to 0749"
)
GRID = Layout(
    "grid", "probe and gallery with files <pid>_<camera>_....jpeg, and features_and_partitions.mat"
)

_VIPER_NAME = re.compile(r"(?P<pid>\d+)_", re.ASCII)
_SEVEN_DIGITS = re.compile(r"(?P<pid>\d{4})(?P<number>\d{3})\.", re.ASCII)
_GRID_NAME = re.compile(r"(?P<pid>\d+)_(?P<camera>\d+)_", re.ASCII)
_PRID_NAME = re.compile(r"person_(?P<pid>\d{4})\.", re.ASCII)

_IN_BOTH, _IN_A, _IN_B = 200, 385, 749  # people that PRID's cameras see; the first 200 by both


@LAYOUTS.register("viper")
def viper(root: str, split_id: int = 0, **_: Any) -> Sides:
    """Read VIPeR: half of the people for training, 10 draws used in both directions."""
    home = home_of("viper", root, ("viper/VIPeR",), VIPER.text)
    path, files = home.parent / "splits.json", ListedFiles(home, VIPER)
    first, second = (_one_a_person(home / side) for side in ("cam_a", "cam_b"))
    for images, partners, side in ((first, second, "cam_b"), (second, first, "cam_a")):
        for pid in sorted(images.keys() - partners.keys()):
            raise VIPER.error(f"'{images[pid]}' has no image of person {pid} in '{home / side}'")
    pairs = [[first[pid], second[pid]] for pid in first]
    split = one_of(_stored(path, lambda: _viper_splits(pairs), VIPER), split_id, "viper")
    return _rebased(split, path, files, parts=2)


def _one_a_person(folder: Path) -> dict[int, str]:
    """Return person -> image, in the order of the file names."""
    images: dict[int, str] = {}
    for path, name in matched(sorted(images_at(folder, VIPER)), _VIPER_NAME, VIPER):
        pid = int(name["pid"])
        if pid in images:
            raise VIPER.error(f"'{images[pid]}' and '{path}' are both of person {pid}")
        images[pid] = path
    return images


def _viper_splits(pairs: list[list[str]]) -> list[Split]:
    draws, splits = np.random.RandomState(SEED), []
    for _ in range(DRAWS):
        order = np.arange(len(pairs))
        draws.shuffle(order)
        people = [pairs[place] for place in order]
        train, test = people[: len(pairs) // 2], people[len(pairs) // 2 :]
        rows = [(path, pid, cam) for pid, pair in enumerate(train) for cam, path in enumerate(pair)]
        first, second = (
            [(pair[cam], pid, cam) for pid, pair in enumerate(test)] for cam in range(2)
        )
        splits += _both_ways(rows, first, second, len(train), len(test))
    return splits


@LAYOUTS.register("cuhk01")
def cuhk01(root: str, split_id: int = 0, **_: Any) -> Sides:
    """Read CUHK01, like VIPeR; numbers 1 and 2 are one view, 3 and 4 the other."""
    home = home_of("cuhk01", root, ("cuhk01",), CUHK01.text)
    path, campus = home / "splits.json", home / "campus"
    if not campus.is_dir() and (home / "CUHK01.zip").is_file():
        _unpack(home / "CUHK01.zip")
    images = [
        Named(path, int(name["pid"]) - 1, (int(name["number"]) - 1) // 2)
        for path, name in matched(sorted(images_at(campus, CUHK01)), _SEVEN_DIGITS, CUHK01)
    ]
    for image in images:
        if image.camera < 0 or image.pid < 0:
            raise CUHK01.error(
                f"'{image.path}' has the number 0; identities and numbers start at 1"
            )
    splits = _stored(path, lambda: _cuhk01_splits(images), CUHK01)
    return _rebased(one_of(splits, split_id, "cuhk01"), path, ListedFiles(campus, CUHK01), parts=1)


def _unpack(path: Path) -> None:
    """Unpack the images of ``campus``, all or none."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".campus", dir=path.parent) as work,
            zipfile.ZipFile(path) as archive,
        ):
            for name in archive.namelist():
                if name.startswith("campus/") and name.lower().endswith(SUFFIXES):
                    image = inside(work, name)
                    image.parent.mkdir(parents=True, exist_ok=True)
                    image.write_bytes(archive.read(name))
            os.rename(Path(work, "campus"), path.parent / "campus")
    except (OSError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise CUHK01.error(f"'{path}' cannot be unpacked ({error}); unpack it by hand") from error


def _cuhk01_splits(images: list[Named]) -> list[Split]:
    people = sorted({image.pid for image in images})
    draws, splits = np.random.RandomState(SEED), []
    for _ in range(DRAWS):
        order = np.arange(len(people))
        draws.shuffle(order)
        train_pids = sorted(people[place] for place in order[: len(people) // 2])
        label = {pid: number for number, pid in enumerate(train_pids)}
        train = [(i.path, label[i.pid], i.camera) for i in images if i.pid in label]
        tested = [(i.path, i.pid, i.camera) for i in images if i.pid not in label]
        first = [item for item in tested if not item[2]]
        second = [item for item in tested if item[2]]
        splits += _both_ways(train, first, second, len(train_pids), len(people) - len(train_pids))
    return splits


def _both_ways(
    train: list[Item], first: list[Item], second: list[Item], trained: int, tested: int
) -> list[Split]:
    """Return two splits in torchreid's form, one for each search direction."""
    counts = {"num_train_pids": trained, "num_query_pids": tested, "num_gallery_pids": tested}
    return [
        {"train": train, "query": query, "gallery": gallery, **counts}
        for query, gallery in ((first, second), (second, first))
    ]


@LAYOUTS.register("ilids")
def ilids(root: str, split_id: int = 0, **_: Any) -> Sides:
    """Read iLIDS: half of the people for training; two images are drawn of each other person."""
    home = home_of("ilids", root, ("ilids/i-LIDS_Pedestrian",), ILIDS.text)
    path, folder = home.parent / "splits.json", home / "Persons"
    images = matched(sorted(images_at(folder, ILIDS)), _SEVEN_DIGITS, ILIDS)
    people: dict[int, list[str]] = {}
    for image, name in images:
        people.setdefault(int(name["pid"]), []).append(Path(image).name)
    split = one_of(_stored(path, lambda: _ilids_splits(people), ILIDS), split_id, "ilids")
    files = ListedFiles(folder, ILIDS)
    sides = [_by_name(_part(split, side, str, path, ILIDS), path, files) for side in Sides._fields]
    # other images of test people are excluded, as in the split
    known = {pid for _, pid, _ in (row for side in sides for row in side)}
    trained = {pid for _, pid, _ in sides[0]}
    for left, name in matched(files.unlisted(), _SEVEN_DIGITS, ILIDS):
        if int(name["pid"]) in trained or int(name["pid"]) not in known:
            raise ILIDS.error(_not_of_splits(left, path))
    return Sides(labeled_as_torchreid(sides[0]), *sides[1:])


def _ilids_splits(people: dict[int, list[str]]) -> list[Split]:
    draws, splits = random.Random(SEED), []
    for pid, names in people.items():
        if len(names) < 2:
            raise ILIDS.error(f"person {pid} has the image '{names[0]}' only; two are needed")
    for _ in range(DRAWS):
        order = list(people)
        draws.shuffle(order)
        train, test = order[: len(order) // 2], order[len(order) // 2 :]
        pairs = [draws.sample(people[pid], 2) for pid in test]
        splits.append(
            {
                "train": [name for pid in train for name in people[pid]],
                "query": [pair[0] for pair in pairs],
                "gallery": [pair[1] for pair in pairs],
            }
        )
    return splits


def _by_name(names: Iterable[str], path: Path, files: ListedFiles) -> list[Item]:
    """Return rows of the images in a split, with the identities in their names."""
    paths = [files.path(name, f"'{path}'") for name in names]
    return [
        (place, int(name["pid"]), int(name["number"]) - 1)
        for place, name in matched(paths, _SEVEN_DIGITS, ILIDS)
    ]


@LAYOUTS.register("prid")
def prid(root: str, split_id: int = 0, **_: Any) -> Sides:
    """Read PRID's single shots: 100 people for training, 100 queries in a gallery of 649."""
    home = home_of("prid", root, ("prid2011/prid_2011/single_shot",), PRID.text)
    path = home.parents[1] / "splits_single_shot.json"
    files = {}
    for side, last in (("cam_a", _IN_A), ("cam_b", _IN_B)):
        files[side] = ListedFiles(home / side, PRID)
        for image, name in matched(images_at(home / side, PRID), _PRID_NAME, PRID):
            if not 1 <= int(name["pid"]) <= last:
                raise PRID.error(f"'{image}' is of person {int(name['pid'])}; there are {last}")
    split = one_of(_stored(path, _prid_splits, PRID), split_id, "prid")

    def row(pid: int, camera: int, label: int) -> Item:
        side = ("cam_a", "cam_b")[camera]
        return files[side].path(f"person_{pid:04d}.png", f"'{path}'"), label, camera

    trained, tested = (_part(split, part, int, path, PRID) for part in ("train", "test"))
    train = [row(pid, camera, n) for n, pid in enumerate(trained) for camera in range(2)]
    query = [row(pid, 0, pid) for pid in tested]
    other_pids = range(_IN_BOTH + 1, _IN_B + 1)
    return Sides(train, query, [row(pid, 1, pid) for pid in (*tested, *other_pids)])


def _prid_splits() -> list[Split]:
    draws, splits = random.Random(SEED), []
    for _ in range(DRAWS):
        train = sorted(draws.sample(range(1, _IN_BOTH + 1), _IN_BOTH // 2))
        test = [pid for pid in range(1, _IN_BOTH + 1) if pid not in train]
        splits.append({"train": train, "test": test})
    return splits


@LAYOUTS.register("grid")
def grid(root: str, split_id: int = 0, **_: Any) -> Sides:
    """Read GRID with its partitions; identity 0 is a distractor."""
    home = home_of("grid", root, ("grid/underground_reid",), GRID.text)
    partitions = matlab_of(home / "features_and_partitions.mat", "trainIdxAll", GRID)
    try:
        people = [p[0][0][2][0].tolist() for p in partitions[0]]
    except (IndexError, TypeError, AttributeError) as error:
        raise GRID.error(f"'{home / 'features_and_partitions.mat'}' holds no partitions") from error
    label = {pid: number for number, pid in enumerate(one_of(people, split_id, "grid"))}
    sides: dict[str, list[Item]] = {}
    train = []
    for side in ("probe", "gallery"):
        paths = sorted(images_at(home / side, GRID))
        sides[side] = []
        for path, name in matched(paths, _GRID_NAME, GRID):
            pid, camid = int(name["pid"]), int(name["camera"]) - 1
            if camid < 0:
                raise GRID.error(f"'{path}' is of camera 0; cameras start from 1")
            if pid in label:
                train.append((path, label[pid], camid))
            else:
                sides[side].append((path, pid, camid))
    return Sides(from_0(train), sides["probe"], sides["gallery"])


def _stored(path: Path, draw: Callable[[], list[Split]], layout: Layout) -> list[Split]:
    """Return the splits in a file; draw them first if it is missing."""
    if path.exists():
        splits = json_of(path, layout)
        if not isinstance(splits, list) or not all(isinstance(split, dict) for split in splits):
            raise layout.error(f"'{path}' holds no splits; remove it, and they are drawn again")
        return splits
    splits = draw()
    with contextlib.suppress(OSError):  # if the root cannot be written, they are drawn again
        write_text(path, json.dumps(splits, indent=4))
    return splits


def _part(split: Split, part: str, kind: type, path: Path, layout: Layout) -> list[Any]:
    """Return a list of names or numbers in a split."""
    values = split.get(part)
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise layout.error(
            f"'{path}' has no list '{part}' as torchreid writes it; remove it, and the splits are "
            "drawn again"
        )
    return values


def _rebased(split: Split, path: Path, files: ListedFiles, *, parts: int) -> Sides:
    """Return a split's rows with the files of the current root.

    Args:
        split: rows [path, identity, camera] of three sides; paths may be of any root.
        path: path of the split file.
        files: files below the folder that the last parts of each path are relative to.
        parts: number of these parts.

    Raises:
        DataError: the split has other images, or fewer than there are.
    """
    sides = []
    for side in Sides._fields:
        rows = rows_of(split, side, path, files.layout)
        names = ["/".join(re.split(r"[\\/]+", place)[-parts:]) for place, _, _ in rows]
        sides.append(
            [
                (files.path(name, f"'{path}'"), pid, camid)
                for name, (_, pid, camid) in zip(names, rows, strict=True)
            ]
        )
    for left in files.unlisted():
        raise files.layout.error(_not_of_splits(left, path))
    return Sides(from_0(sides[0]), *sides[1:])


def _not_of_splits(image: str, path: Path) -> str:
    return (
        f"'{image}' is not in the splits '{path}', which were drawn without it; remove the image, "
        "or that file to draw new splits"
    )
