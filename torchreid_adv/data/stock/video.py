"""MARS, iLIDS-VID, PRID-2011 and DukeMTMC-VideoReID: tracklets.

Frames of a tracklet are ordered by name, not in directory order.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_adv.data.listing import Layout, ListedFiles, images_at, subfolders
from torchreid_adv.data.lists import Line, json_of, lines_of, numbers_of
from torchreid_adv.data.public_sets import (
    Sides,
    home_of,
    labeled_as_torchreid,
    matched,
    one_of,
    warn_of_shared,
)
from torchreid_adv.registry import LAYOUTS

Tracklet = tuple[tuple[str, ...], int, int]  # frames, identity, camera from 0

JUNK = -1  # MARS's false detections, excluded by its layout

MARS = Layout(
    "mars",
    "bbox_train and bbox_test with <pid>/<pid>C<camera>T<tracklet>F<frame>.jpg, and info with "
    "train_name.txt, test_name.txt, tracks_train_info.mat, tracks_test_info.mat, query_IDX.mat",
)
ILIDSVID = Layout(
    "ilidsvid",
    "i-LIDS-VID/sequences/{cam1,cam2}/person<number> with *.png, and 'train-test people "
    "splits/train_test_splits_ilidsvid.mat'",
)
PRID2011 = Layout(
    "prid2011",
    "prid_2011/multi_shot/{cam_a,cam_b}/person_<number> with *.png, and splits_prid2011.json, "
    "which torchreid's documentation links to",
)
DUKEVID = Layout(
    "dukemtmcvidreid",
    "train, query and gallery with <pid>/<tracklet>/<pid>_C<camera>_F<frame>_X<number>.jpg",
)

_MARS_NAME = re.compile(r"(?P<pid>\d{4,}|00-1)C(?P<camera>\d+)T(?P<track>\d+)F\d+\.\w+", re.ASCII)
_DUKE_NAME = re.compile(r"(?P<pid>\d+)_?C(?P<camera>\d+)_?F(?P<frame>\d+)", re.ASCII)


@LAYOUTS.register("mars")
def mars(root: str, **_: Any) -> Sides:
    """Read MARS by its lists of frames and tracklets; identity 0 is a distractor, -1 is junk."""
    home = home_of("mars", root, ("mars",), MARS.text)
    info = home / "info"
    tracks = {
        side: numbers_of(info / f"tracks_{side}_info.mat", f"track_{side}_info", MARS)
        for side in ("train", "test")
    }
    rows = numbers_of(info / "query_IDX.mat", "query_IDX", MARS).flatten() - 1
    if rows.size and not 0 <= rows.min() <= rows.max() < len(tracks["test"]):
        raise MARS.error(f"'{info / 'query_IDX.mat'}' names a tracklet that is not in the test set")
    queries = set(rows.tolist())
    gallery = [row for row in range(len(tracks["test"])) if row not in queries]
    files = {side: ListedFiles(home / f"bbox_{side}", MARS) for side in tracks}
    names = {side: lines_of(info / f"{side}_name.txt", MARS) for side in tracks}
    for side, frames in names.items():
        _check_mars(tracks[side], frames, info / f"tracks_{side}_info.mat")

    def tracklets(side: str, places: Iterable[int]) -> list[Tracklet]:
        rows = [tracks[side][place].tolist() for place in places]
        for first, last, pid, _ in rows:
            for line in names[side][first - 1 : last] if pid == JUNK else ():
                files[side].leave_out(f"{line.text.partition('C')[0]}/{line.text}")
        return [_mars_tracklet(row, names[side], files[side]) for row in rows if row[2] != JUNK]

    sides = Sides(
        labeled_as_torchreid(tracklets("train", range(len(tracks["train"])))),
        tracklets("test", rows.tolist()),
        tracklets("test", gallery),
    )
    for each in files.values():
        each.warn_of_unlisted()
    return sides


def _check_mars(tracks: np.ndarray, frames: list[Line], path: Path) -> None:
    """Refuse tracklets with frames that are not in the list."""
    if tracks.ndim != 2 or tracks.shape[1] != 4 or not len(tracks):
        raise MARS.error(f"'{path}' has no rows of first frame, last frame, identity and camera")
    first, last = tracks[:, 0], tracks[:, 1]
    if (first < 1).any() or (first > last).any() or last.max() > len(frames):
        raise MARS.error(
            f"'{path}' names frames {first.min()} to {last.max()}, but the list has {len(frames)}, "
            f"and its last one is {frames[-1].where}; is a line missing?"
        )


def _mars_tracklet(track: list[int], lines: list[Line], files: ListedFiles) -> Tracklet:
    first, last, pid, camera = track
    paths = []
    for line in lines[first - 1 : last]:
        name = _MARS_NAME.fullmatch(line.text)
        if name is None:
            raise MARS.error(f"{line.where} is '{line.text[:80]}', not a name of a frame")
        if (int(name["pid"].removeprefix("00")), int(name["camera"])) != (pid, camera):
            raise MARS.error(
                f"{line.where} is '{line.text}', and the tracklet that it belongs to is of "
                f"identity {pid}, camera {camera}; is a line missing?"
            )
        paths.append(files.path(f"{name['pid']}/{line.text}", line.where))
    if camera < 1:
        raise MARS.error(f"the tracklet of {lines[first - 1].where} is of camera {camera}")
    return tuple(paths), pid, camera - 1


@LAYOUTS.register("ilidsvid")
def ilidsvid(root: str, split_id: int = 0, **_: Any) -> Sides:
    """Read iLIDS-VID by one of its ten splits: half of the people for training."""
    home = home_of("ilidsvid", root, ("ilids-vid",), ILIDSVID.text)
    cameras = [home / "i-LIDS-VID/sequences" / name for name in ("cam1", "cam2")]
    people = [subfolders(camera, ILIDSVID) for camera in cameras]
    for name in sorted(set(people[0]) ^ set(people[1])):
        raise ILIDSVID.error(f"'{name}' is in one of '{cameras[0]}' and '{cameras[1]}' only")
    stored = home / "splits.json"
    if stored.is_file():
        split = one_of(_list_at(stored, ILIDSVID), split_id, "ilidsvid")
    else:
        path = home / "train-test people splits/train_test_splits_ilidsvid.mat"
        split = _ilidsvid_split(path, people[0], split_id)
    _check_people(split, people[0], stored, ILIDSVID)
    for name in sorted({*people[0]} - {*split["train"], *split["test"]}):
        raise ILIDSVID.error(f"'{cameras[0] / name}' is in neither part of split {split_id}")
    return _two_cameras(split, cameras, ILIDSVID)


def _ilidsvid_split(path: Path, people: list[str], split_id: int) -> dict[str, list[str]]:
    """Return the people of training and test, by numbers of sorted folders."""
    numbers = numbers_of(path, "ls_set", ILIDSVID)
    if numbers.ndim != 2 or sorted(numbers[0].tolist()) != list(range(1, len(people) + 1)):
        raise ILIDSVID.error(
            f"'{path}' splits {numbers.shape[-1]} people, and there are {len(people)} folders"
        )
    row, half = one_of(numbers.tolist(), split_id, "ilidsvid"), numbers.shape[1] // 2
    return {
        part: [people[number - 1] for number in sorted(places)]
        for part, places in (("train", row[half:]), ("test", row[:half]))
    }


@LAYOUTS.register("prid2011")
def prid2011(root: str, split_id: int = 0, **_: Any) -> Sides:
    """Read PRID-2011's tracklets for the people in its split file, usually 178 of 200."""
    home = home_of("prid2011", root, ("prid2011",), PRID2011.text)
    cameras = [home / "prid_2011/multi_shot" / name for name in ("cam_a", "cam_b")]
    people = [subfolders(camera, PRID2011) for camera in cameras]
    path = home / "splits_prid2011.json"
    split = one_of(_list_at(path, PRID2011), split_id, "prid2011")
    for names in people:
        _check_people(split, names, path, PRID2011)
    return _two_cameras(split, cameras, PRID2011)


def _list_at(path: Path, layout: Layout) -> list[Any]:
    splits = json_of(path, layout)
    if not isinstance(splits, list):
        raise layout.error(f"'{path}' holds no list of splits")
    return splits


def _check_people(split: Any, people: list[str], path: Path, layout: Layout) -> None:
    for part in ("train", "test"):
        names = split.get(part) if isinstance(split, dict) else None
        if not isinstance(names, list) or not names:
            raise layout.error(f"'{path}' has a split without a list '{part}' of people")
        for name in names:
            if name not in people:
                raise layout.error(f"'{path}' names '{name}', and there is no such folder")


def _two_cameras(split: dict[str, list[str]], cameras: list[Path], layout: Layout) -> Sides:
    """Return tracklets with a folder per person and camera; the first camera has the queries."""

    def tracklets(names: list[str], sides: Iterable[int]) -> list[Tracklet]:
        return [
            (tuple(sorted(images_at(cameras[side] / name, layout))), pid, side)
            for pid, name in enumerate(names)
            for side in sides
        ]

    train, test = split["train"], split["test"]
    return Sides(tracklets(train, (0, 1)), tracklets(test, (0,)), tracklets(test, (1,)))


@LAYOUTS.register("dukemtmcvidreid")
def dukemtmcvidreid(root: str, min_seq_len: int = 0, **_: Any) -> Sides:
    """Read DukeMTMC-VideoReID: each folder is a tracklet with all of its frames.

    torchreid's class looks for frames from 0001 up to their number, so it drops the last ones of
    tracklets that start later.
    """
    places = ("dukemtmc-vidreid/DukeMTMC-VideoReID",)
    home = home_of("dukemtmcvidreid", root, places, DUKEVID.text)
    train, query, gallery = (
        _duke_tracklets(home / side, min_seq_len) for side in ("train", "query", "gallery")
    )
    warn_of_shared("dukemtmcvidreid", train, query, gallery)
    return Sides(labeled_as_torchreid(train), query, gallery)


def _duke_tracklets(folder: Path, shortest: int) -> list[Tracklet]:
    images = matched(images_at(folder, DUKEVID, depth=2), _DUKE_NAME, DUKEVID)
    tracklets = []
    for place, group in itertools.groupby(images, lambda image: os.path.dirname(image[0])):
        frames = sorted(group, key=lambda image: (int(image[1]["frame"]), image[0]))
        person = os.path.basename(os.path.dirname(place))
        labels = {(int(name["pid"]), int(name["camera"])) for _, name in frames}
        pid, camera = next(iter(labels))
        if len(labels) > 1 or not person.isdecimal() or int(person) != pid or camera < 1:
            raise DUKEVID.error(
                f"the images in '{place}' are not all of person {person} and one camera from 1 on"
            )
        if len(frames) >= shortest:
            tracklets.append((tuple(path for path, _ in frames), pid, camera - 1))
    if not tracklets:
        raise DUKEVID.error(f"no tracklet in '{folder}' has {shortest} frames")
    return tracklets
