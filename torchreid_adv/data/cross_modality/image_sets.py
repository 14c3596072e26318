"""Visible-infrared image sets, SYSU-MM01, RegDB and LLCM, in their public layouts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.data.cross_modality.modality import (
    INFRARED,
    VISIBLE,
    relabeled,
    require_modalities,
    sides,
)
from torchreid_adv.data.listing import Layout, ListedFiles, images_at, subfolders
from torchreid_adv.data.lists import Line, lines_of, number_of, words_of
from torchreid_adv.data.public_sets import home_of, two_cameras
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.layout import torchreid_module

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset

Item = tuple[str, int, int, int]  # path, pid, camid, dsetid
_FOLDERS = {  # names of a modality's folders, in lower case
    VISIBLE: {"visible", "vis", "rgb"},
    INFRARED: {"thermal", "infrared", "nir", "ir"},
}
_CAMERA_FOLDER = re.compile(r"cam([1-9]\d*)", re.ASCII)
_CAMERA = re.compile(r"_c(\d+)", re.ASCII)

SYSU = Layout(
    "sysu_mm01",
    "cam1 to cam6 with <pid, 4 digits>/*.jpg, and exp/train_id.txt, exp/val_id.txt and "
    "exp/test_id.txt with identities such as '1,2,4'",
)
REGDB = Layout(
    "regdb",
    "idx/{train,test}_{visible,thermal}_<trial>.txt of lines '<path> <label>', and these paths",
)
LLCM_LAYOUT = Layout(
    "llcm",
    "idx/train_vis.txt and idx/train_nir.txt of lines '<path> <label>', idx/test_id.txt, and "
    "test_vis and test_nir with cam<n>/<pid, 4 digits>/*",
)


_SYSU_VISIBLE, _SYSU_INFRARED = (1, 2, 4, 5), (3, 6)  # cameras; the first two are indoors


class CrossModalityImages(ImageDataset):
    """Images whose ``dsetid`` is the modality, searched by their own protocol.

    Args:
        train: images, with identities of any numbers.
        query: images of one modality.
        gallery: images of the other; galleries are drawn from them as ``protocol`` defines.
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        DataError: a side is empty.
    """

    protocol = ""
    modalities = True  # dsetid is the modality

    def __init__(
        self, train: list[Item], query: list[Item], gallery: list[Item], **kwargs: Any
    ) -> None:
        for side, items in (("training", train), ("query", query), ("gallery", gallery)):
            if not items:
                raise DataError(
                    f"{type(self).__name__} below '{self.dataset_dir}' has no {side} images; is "
                    "the folder whole?"
                )
        super().__init__(relabeled(train), query, gallery, **kwargs)

    def __add__(self, other: Any) -> Any:
        """Return the training images of both sets.

        Raises:
            ConfigError: a source has no modalities.
        """
        require_modalities(other, CrossModalityImages)
        return super().__add__(other)


class SYSUMM01(CrossModalityImages):
    """SYSU-MM01 (Wu et al., 2017): infrared cameras 3 and 6, visible ones 1, 2, 4 and 5.

    ``<root>/SYSU-MM01/cam<1-6>/<pid>/*.jpg`` and ``exp/{train_id,val_id,test_id}.txt``. Training
    uses the identities in ``train_id`` and ``val_id``. Queries are infrared.

    Args:
        root: data root.
        indoor: search among cameras 1 and 2 only.
        kwargs: see :class:`CrossModalityImages`.

    Raises:
        DataError: a list or the folder is missing, or a side is empty.
    """

    protocol = "sysu_mm01"

    def __init__(self, root: str = "", *, indoor: bool = False, **kwargs: Any) -> None:
        base = _folder(root, "SYSU-MM01", SYSU)
        self.dataset_dir = str(base)
        train = [*_ids(base / "exp/train_id.txt", SYSU), *_ids(base / "exp/val_id.txt", SYSU)]
        test = sorted(_ids(base / "exp/test_id.txt", SYSU))
        cameras = _camera_folders(base, {*train, *test}, SYSU)
        for number, folder in cameras.items():
            if number not in (*_SYSU_VISIBLE, *_SYSU_INFRARED):
                raise SYSU.error(f"'{folder}' belongs to a camera that the set does not have")
        searched = _SYSU_VISIBLE[:2] if indoor else _SYSU_VISIBLE
        super().__init__(
            list(_of_cameras(cameras, train, sorted(cameras))),
            list(_of_cameras(cameras, test, _SYSU_INFRARED)),
            list(_of_cameras(cameras, test, searched)),
            **kwargs,
        )


class RegDB(CrossModalityImages):
    """RegDB (Nguyen et al., 2017): visible and thermal images of 412 people, ten splits.

    ``<root>/RegDB/idx/{train,test}_{visible,thermal}_<trial>.txt`` with lines ``path label``.

    Args:
        root: data root.
        direction: ``i2v`` = thermal queries among visible images, ``v2i`` = vice versa.
        split_id: trial from 0 (``data.split_id``); results are reported as means over all ten.
        kwargs: see :class:`CrossModalityImages`.

    Raises:
        ConfigError: the trial does not exist.
        DataError: a list or the folder is missing, or a line of it is invalid.
    """

    protocol = "regdb"

    def __init__(self, root: str = "", *, direction: str, split_id: int = 0, **kwargs: Any) -> None:
        if split_id not in range(10):
            raise ConfigError(f"RegDB has the trials data.split_id 0 to 9, got {split_id!r}")
        base = _folder(root, "RegDB", REGDB)
        self.dataset_dir, files = str(base), ListedFiles(base, REGDB)
        lists = {
            (split, modality): _listed(
                files, f"{split}_{('visible', 'thermal')[modality]}_{split_id + 1}.txt", modality
            )
            for split in ("train", "test")
            for modality in (VISIBLE, INFRARED)
        }
        files.warn_of_unlisted()
        query, gallery = (lists["test", side] for side in sides(direction))
        super().__init__(
            lists["train", VISIBLE] + lists["train", INFRARED], query, gallery, **kwargs
        )


class LLCM(CrossModalityImages):
    """LLCM (Zhang and Wang, 2023): nine cameras in low light, visible and near-infrared.

    ``<root>/LLCM/idx/{train_vis,train_nir}.txt`` with lines ``path label``, ``idx/test_id.txt`` and
    ``test_{vis,nir}/cam<1-9>/<pid>/*``.

    Args:
        root: data root.
        direction: ``i2v`` or ``v2i``.
        kwargs: see :class:`CrossModalityImages`.

    Raises:
        DataError: a list or the folder is missing, or a side is empty.
    """

    protocol = "llcm"

    def __init__(self, root: str = "", *, direction: str, **kwargs: Any) -> None:
        base = _folder(root, "LLCM", LLCM_LAYOUT)
        self.dataset_dir, files = str(base), ListedFiles(base, LLCM_LAYOUT)
        train = _listed(files, "train_vis.txt", VISIBLE) + _listed(files, "train_nir.txt", INFRARED)
        files.warn_of_unlisted(("vis", "nir"))
        test = sorted(_ids(base / "idx/test_id.txt", LLCM_LAYOUT))
        query, gallery = (
            _llcm_side(base / ("test_vis", "test_nir")[side], test, side)
            for side in sides(direction)
        )
        super().__init__(train, query, gallery, **kwargs)


def _folder(root: str, name: str, layout: Layout) -> Path:
    return home_of(layout.name, root, (name,), layout.text)


def _ids(path: Path, layout: Layout) -> list[int]:
    """Return the identities in a comma-separated list."""
    words = [word for word in words_of(path, layout) if word]
    if not all(word.isascii() and word.isdecimal() for word in words):
        raise layout.error(f"'{path}' is not a list of identities such as '1,2,4'")
    return [number_of(word, f"'{path}'", layout) for word in words]


def _llcm_side(base: Path, pids: list[int], modality: int) -> list[Item]:
    cameras = _camera_folders(base, pids, LLCM_LAYOUT)
    return list(_of_cameras(cameras, pids, sorted(cameras), modality))


def _camera_folders(base: Path, pids: Collection[int], layout: Layout) -> dict[int, Path]:
    """Return camera -> its folder, after checking the identity folders in each.

    Raises:
        DataError: an identity has no images, or no listed identity has a folder.
    """
    cameras = {
        int(match[1]): base / name
        for name in subfolders(base, layout)
        if (match := _CAMERA_FOLDER.fullmatch(name))
    }
    known, seen, others = {f"{pid:04d}" for pid in pids}, set(), []
    for folder in cameras.values():
        names = set(subfolders(folder, layout))
        for name in sorted(names - known):
            if not (len(name) == 4 and name.isdecimal()):
                raise layout.error(f"'{folder / name}' is not named by four digits")
            others.append(f"{folder.name}/{name}")
        seen |= names
    ListedFiles(base, layout).warn_of_unlisted(others)
    for pid in pids:
        if f"{pid:04d}" not in seen:
            raise layout.error(f"identity {pid} of the lists has no folder '{pid:04d}' in '{base}'")
    return cameras


def _of_cameras(
    folders: dict[int, Path],
    pids: Collection[int],
    cameras: Collection[int],
    modality: int | None = None,
) -> Iterator[Item]:
    """Yield images in the order of identity, camera and name, on which drawn galleries depend.

    Args:
        folders: camera number from 1 -> folder.
        pids: identities.
        cameras: the cameras to read.
        modality: of all cameras; None = as in SYSU-MM01.
    """
    layout = SYSU if modality is None else LLCM_LAYOUT
    for pid in pids:
        for camera in cameras:
            infrared = camera in _SYSU_INFRARED if modality is None else modality == INFRARED
            folder = folders.get(camera, Path()) / f"{pid:04d}"
            if camera in folders and folder.is_dir():
                for path in sorted(images_at(folder, layout)):
                    yield path, pid, camera - 1, INFRARED if infrared else VISIBLE


def _listed(files: ListedFiles, name: str, modality: int) -> list[Item]:
    """Return the images of a list with lines ``path label``."""
    items = []
    for line in lines_of(Path(files.folder) / "idx" / name, files.layout):
        path, _, label = line.text.rpartition(" ")
        if not path or not (label.isascii() and label.isdecimal()):
            raise files.layout.error(f"{line.where} is '{line.text[:80]}', not 'path label'")
        place = files.path(path.strip(), line.where)
        other = _FOLDERS[VISIBLE if modality == INFRARED else INFRARED]
        if other & {folder.lower() for folder in path.split("/")[:-1]}:
            raise files.layout.error(
                f"{line.where} is '{line.text[:80]}', of the other modality than its list"
            )
        pid = number_of(label, line.where, files.layout)
        items.append((place, pid, _camera(path, modality, line, files.layout), modality))
    return items


def _camera(path: str, modality: int, line: Line, layout: Layout) -> int:
    """Return the camera in the name of a file or its folder; if none, the modality.

    Raises:
        DataError: they name two.
    """
    *folders, name = path.split("/")
    in_folders = [match[1] for match in map(_CAMERA_FOLDER.fullmatch, folders) if match]
    numbers = [
        number_of(digits, line.where, layout) for digits in (*_CAMERA.findall(name), *in_folders)
    ]
    if len(set(numbers)) > 1:
        raise layout.error(f"{line.where}: {two_cameras(path, *map(str, numbers[:2]))}")
    number = numbers[0] if numbers else 0
    return number - 1 if number else modality
