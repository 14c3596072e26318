"""RandPerson and UnrealPerson: drawn people to train with; they have no queries and no gallery."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.data.layouts import Item, home_of, images_in, relabeled
from torchreid_adv.errors import DataError, printable
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.jobs.paths import name_fault
from torchreid_adv.registry import DATASETS

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset

# RandPerson's cameras before those of each of its scenes
_CAMERAS_BEFORE = (0, 2, 4, 6, 8, 9, 10, 12, 13, 14, 15)
_RAND_LAYOUT = "*.jpg named <pid>_s<scene>_c<camera>_f<frame>.jpg"
# newer releases name the scene first, older ones the camera
_RAND_NAME = re.compile(
    r"(?P<pid>\d+)_(?:s(?P<scene>\d+)_c(?P<camera>\d+)|c(?P<camera_old>\d+)_s(?P<scene_old>\d+))_"
)

_LIST = "list_unreal_train.txt"
_UNREAL_LAYOUT = f"unreal_v<X>.<Y>/images/<pid>_c<camera>_<frame>.jpg, and {_LIST} if you have it"
_UNREAL_FOLDER = re.compile(r"unreal_v(?P<world>\d+)\.(?P<version>\d+)")
_UNREAL_NAME = re.compile(r"(?P<pid>\d+)_c(?P<camera>\d+)_")


class TrainOnly(ImageDataset):
    """A data set without test images: query and gallery are its first image, as in torchreid's own.

    Args:
        items: path, identity and camera, both numbered from 0.
        kwargs: torchreid's keywords (transform, mode...).
    """

    _train_only = True

    def __init__(self, items: list[Item], **kwargs: Any) -> None:
        super().__init__(items, items[:1], items[:1], **kwargs)


@DATASETS.register("randperson", video=False)
class RandPerson(TrainOnly):
    """RandPerson's published subset: 8,000 identities, 19 cameras in 11 scenes, 132,145 images.

    Wang et al., Surpassing Real-World Source Training Data: Random 3D Characters for Generalizable
    Person Re-Identification, 2020. Read from ``<root>/randperson/randperson_subset``.

    Args:
        root: data root.
        kwargs: torchreid's keywords; those of other sets do nothing.

    Raises:
        DataError: the folder is missing, or a name that is not of the public layout.
    """

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        places = ("randperson/randperson_subset", "randperson_subset/randperson_subset")
        folder = home_of("randperson", root, (*places, "randperson_subset"), _RAND_LAYOUT)
        self.dataset_dir = str(folder)
        super().__init__(relabeled(_rand_people(folder)), **kwargs)


@DATASETS.register("unrealperson", video=False)
class UnrealPerson(TrainOnly):
    """UnrealPerson: people of three versions in four worlds.

    Zhang et al., UnrealPerson: An Adaptive Pipeline Towards Costless Person Re-Identification,
    2021. Read from ``<root>/unrealperson``: what ``list_unreal_train.txt`` names (3,000 identities,
    34 cameras, 120,000 images as published), or without that list all images of all folders. There
    the version and the number tell who it is, the world and the number which camera.

    Args:
        root: data root.
        kwargs: torchreid's keywords; those of other sets do nothing.

    Raises:
        DataError: the folder is missing, or something in it is not of the public layout.
    """

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        folder = home_of("unrealperson", root, ("unrealperson", "unreal"), _UNREAL_LAYOUT)
        self.dataset_dir = str(folder)
        listed = (folder / _LIST).is_file()
        people = _listed_people(folder) if listed else _unreal_people(folder)
        super().__init__(relabeled(people), **kwargs)


def _rand_people(folder: Path) -> Iterator[tuple[str, int, int]]:
    for path, name in images_in(folder, _RAND_NAME, _RAND_LAYOUT):
        scene = int(name["scene"] or name["scene_old"])
        camera = int(name["camera"] or name["camera_old"])
        if scene >= len(_CAMERAS_BEFORE):
            raise DataError(
                f"'{path}' is of scene {scene}, and RandPerson has scenes 0 to "
                f"{len(_CAMERAS_BEFORE) - 1}; the public layout is {_RAND_LAYOUT}"
            )
        yield path, int(name["pid"]), _CAMERAS_BEFORE[scene] + camera


def _unreal_people(folder: Path) -> Iterator[tuple[str, tuple[int, int], tuple[int, int]]]:
    worlds = [(p, m) for p in sorted(folder.iterdir()) if (m := _UNREAL_FOLDER.fullmatch(p.name))]
    if not worlds:
        raise DataError(
            f"'{folder}' holds no folder unreal_v<X>.<Y>; the layout is {_UNREAL_LAYOUT}"
        )
    for place, world in worlds:
        for path, name in images_in(place / "images", _UNREAL_NAME, _UNREAL_LAYOUT):
            person = (int(world["version"]), int(name["pid"]))
            yield path, person, (int(world["world"]), int(name["camera"]))


def _listed_people(folder: Path) -> Iterator[tuple[str, int, int]]:
    lines = (folder / _LIST).read_text(encoding="utf-8").splitlines()
    rows = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise DataError(f"'{folder / _LIST}' is empty; remove it to read all images")
    for number, fields in rows:
        good = len(fields) == 3 and fields[1].isdecimal() and fields[2].isdecimal()
        if not good or name_fault(fields[0]):
            raise DataError(
                f"line {number} of '{folder / _LIST}' is '{printable(' '.join(fields))}'; "
                "a line is: path below the folder, identity, camera"
            )
    if not (folder / rows[0][1][0]).is_file():
        raise DataError(
            f"'{folder / _LIST}' names '{rows[0][1][0]}', which is not there; unpack the folders "
            "unreal_v<X>.<Y> beside it"
        )
    for _, (name, pid, camid) in rows:
        yield f"{folder}/{name}", int(pid), int(camid)
