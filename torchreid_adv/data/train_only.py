"""RandPerson and UnrealPerson: synthetic people for training, without queries and gallery."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.data.listing import Layout, ListedFiles, subfolders
from torchreid_adv.data.lists import lines_of, number_of
from torchreid_adv.data.public_sets import Item, home_of, images_in, relabeled
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset

# number of RandPerson's cameras before each scene
_CAMERAS_BEFORE = (0, 2, 4, 6, 8, 9, 10, 12, 13, 14, 15)
_RAND_LAYOUT = Layout("randperson", "*.jpg named <pid>_s<scene>_c<camera>_f<frame>.jpg")
# newer releases name the scene first, older ones the camera
_RAND_NAME = re.compile(
    r"(?P<pid>\d+)_(?:s(?P<scene>\d+)_c(?P<camera>\d+)|c(?P<camera_old>\d+)_s(?P<scene_old>\d+))_",
    re.ASCII,
)

_LIST = "list_unreal_train.txt"
_UNREAL_LAYOUT = Layout(
    "unrealperson",
    f"unreal_v<X>.<Y>/images/<pid>_c<camera>_<frame>.jpg, and {_LIST} if you have it",
)
_UNREAL_FOLDER = re.compile(r"unreal_v(?P<world>\d+)\.(?P<version>\d+)", re.ASCII)
_UNREAL_NAME = re.compile(r"(?P<pid>\d+)_c(?P<camera>\d+)_", re.ASCII)


class TrainOnly(ImageDataset):
    """A data set without test images: query and gallery are its first image, as in torchreid.

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
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        DataError: the folder is missing, or a name is not of the public layout.
    """

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        places = ("randperson/randperson_subset", "randperson_subset/randperson_subset")
        folder = home_of("randperson", root, (*places, "randperson_subset"), _RAND_LAYOUT.text)
        self.dataset_dir = str(folder)
        super().__init__(relabeled(_rand_people(folder)), **kwargs)


@DATASETS.register("unrealperson", video=False)
class UnrealPerson(TrainOnly):
    """UnrealPerson: people of three versions in four worlds.

    Zhang et al., UnrealPerson: An Adaptive Pipeline Towards Costless Person Re-Identification,
    2021. Read from ``<root>/unrealperson``: the files in ``list_unreal_train.txt`` (3,000
    identities, 34 cameras, 120,000 images as published), or without that list all images of all
    folders. Then version and number define the identity, world and number the camera.

    Args:
        root: data root.
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        DataError: the folder is missing, or its content is not of the public layout.
    """

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        folder = home_of("unrealperson", root, ("unrealperson", "unreal"), _UNREAL_LAYOUT.text)
        self.dataset_dir = str(folder)
        listed = (folder / _LIST).exists()
        people = _listed_people(folder) if listed else _unreal_people(folder)
        super().__init__(relabeled(people), **kwargs)


def _rand_people(folder: Path) -> Iterator[tuple[str, int, int]]:
    for path, name in images_in(folder, _RAND_NAME, _RAND_LAYOUT):
        scene = int(name["scene"] or name["scene_old"])
        camera = int(name["camera"] or name["camera_old"])
        if scene >= len(_CAMERAS_BEFORE):
            raise _RAND_LAYOUT.error(
                f"'{path}' is of scene {scene}, and RandPerson has scenes 0 to "
                f"{len(_CAMERAS_BEFORE) - 1}"
            )
        yield path, int(name["pid"]), _CAMERAS_BEFORE[scene] + camera


def _unreal_people(folder: Path) -> Iterator[tuple[str, tuple[int, int], tuple[int, int]]]:
    worlds = [
        (folder / name, world)
        for name in subfolders(folder, _UNREAL_LAYOUT)
        if (world := _UNREAL_FOLDER.fullmatch(name))
    ]
    if not worlds:
        raise _UNREAL_LAYOUT.error(f"'{folder}' holds no folder unreal_v<X>.<Y>")
    for place, world in worlds:
        for path, name in images_in(place / "images", _UNREAL_NAME, _UNREAL_LAYOUT):
            person = (int(world["version"]), int(name["pid"]))
            yield path, person, (int(world["world"]), int(name["camera"]))


def _listed_people(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Yield the listed images; the list excludes most images of the full release."""
    files = ListedFiles(folder, _UNREAL_LAYOUT)
    for line in lines_of(folder / _LIST, _UNREAL_LAYOUT):
        fields = line.text.split()
        if len(fields) != 3 or not all(f.isascii() and f.isdecimal() for f in fields[1:]):
            raise _UNREAL_LAYOUT.error(
                f"{line.where} is '{line.text[:80]}'; a line is: path below the folder, identity, "
                "camera"
            )
        pid, camera = (number_of(field, line.where, _UNREAL_LAYOUT) for field in fields[1:])
        yield files.path(fields[0], line.where), pid, camera
