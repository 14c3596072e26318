"""Visible-infrared sets of images: SYSU-MM01, RegDB, LLCM, each in its public layout."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.data.cross_modality.modality import (
    INFRARED,
    VISIBLE,
    relabeled,
    require_modalities,
    sides,
)
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.layout import torchreid_module

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset

Item = tuple[str, int, int, int]  # path, pid, camid, dsetid
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
_CAMERA = re.compile(r"cam(\d)|_c0?(\d)")


class CrossModalityImages(ImageDataset):
    """Images of which ``dsetid`` is the modality, searched by a protocol of their own.

    Args:
        train: images, identities of any numbers.
        query: images of one modality.
        gallery: images of the other; galleries are drawn of them as ``protocol`` says.
        kwargs: torchreid's; those of other sets are accepted and do nothing.

    Raises:
        DataError: a side is empty.
    """

    protocol = ""
    modalities = True  # told by dsetid

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
        """Return the training images of both.

        Raises:
            ConfigError: a source without modalities.
        """
        require_modalities(other, CrossModalityImages)
        return super().__add__(other)


class SYSUMM01(CrossModalityImages):
    """SYSU-MM01 (Wu et al., 2017): infrared cameras 3 and 6, visible ones 1, 2, 4 and 5.

    ``<root>/SYSU-MM01/cam<1-6>/<pid>/*.jpg`` and ``exp/{train_id,val_id,test_id}.txt``. Training
    takes the identities of both ``train_id`` and ``val_id``. Queries are infrared.

    Args:
        root: data root.
        indoor: search among cameras 1 and 2 only.
        kwargs: see :class:`CrossModalityImages`.

    Raises:
        DataError: a list or the folder is missing, or a side is empty.
    """

    protocol = "sysu_mm01"

    def __init__(self, root: str = "", *, indoor: bool = False, **kwargs: Any) -> None:
        base = _folder(root, "SYSU-MM01")
        self.dataset_dir = str(base)
        train = [*_ids(base / "exp/train_id.txt"), *_ids(base / "exp/val_id.txt")]
        test = sorted(_ids(base / "exp/test_id.txt"))
        super().__init__(
            list(_of_cameras(base, train, (1, 2, 3, 4, 5, 6))),
            list(_of_cameras(base, test, (3, 6))),
            list(_of_cameras(base, test, (1, 2) if indoor else (1, 2, 4, 5))),
            **kwargs,
        )


class RegDB(CrossModalityImages):
    """RegDB (Nguyen et al., 2017): visible and thermal images of 412 people, ten divisions.

    ``<root>/RegDB/idx/{train,test}_{visible,thermal}_<trial>.txt`` with lines ``path label``.

    Args:
        root: data root.
        direction: ``i2v`` = thermal queries among visible images, ``v2i`` = the other way.
        split_id: trial from 0 (``data.split_id``); results are reported as means over all ten.
        kwargs: see :class:`CrossModalityImages`.

    Raises:
        ConfigError: a trial that there is not.
        DataError: a list or the folder is missing, or a line of it is something else.
    """

    protocol = "regdb"

    def __init__(self, root: str = "", *, direction: str, split_id: int = 0, **kwargs: Any) -> None:
        if not 0 <= split_id <= 9:
            raise ConfigError(f"RegDB has the trials data.split_id 0 to 9, got {split_id}")
        base = _folder(root, "RegDB")
        self.dataset_dir = str(base)
        lists = {
            (split, modality): _listed(
                base, f"{split}_{('visible', 'thermal')[modality]}_{split_id + 1}.txt", modality
            )
            for split in ("train", "test")
            for modality in (VISIBLE, INFRARED)
        }
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
        base = _folder(root, "LLCM")
        self.dataset_dir = str(base)
        train = _listed(base, "train_vis.txt", VISIBLE) + _listed(base, "train_nir.txt", INFRARED)
        test = sorted(_ids(base / "idx/test_id.txt"))
        query, gallery = (
            list(_of_cameras(base / ("test_vis", "test_nir")[side], test, range(1, 10), side))
            for side in sides(direction)
        )
        super().__init__(train, query, gallery, **kwargs)


def _folder(root: str, name: str) -> Path:
    base = Path(root).expanduser().absolute() / name
    if not base.is_dir():
        raise DataError(
            f"the folder '{base}' is missing; put the data set there or give another --root"
        )
    return base


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the list '{path}' cannot be read ({error}); put it there") from error


def _ids(path: Path) -> list[int]:
    """Return the identities of a list of numbers between commas."""
    words = [word.strip() for word in _text(path).replace("\n", ",").split(",")]
    words = [word for word in words if word]
    if not words or not all(word.isdigit() for word in words):
        raise DataError(f"'{path}' is no list of identities such as '1,2,4'; is it the set's own?")
    return [int(word) for word in words]


def _of_cameras(
    base: Path, pids: Iterable[int], cameras: Iterable[int], modality: int | None = None
) -> Iterator[Item]:
    """Yield images in the order of identity, camera and name, on which drawn galleries depend.

    Args:
        base: folder that holds ``cam<n>``.
        pids: identities.
        cameras: numbers from 1.
        modality: of all cameras; None = as SYSU-MM01's.
    """
    cameras = list(cameras)
    for pid in pids:
        for camera in cameras:
            own = (INFRARED if camera in (3, 6) else VISIBLE) if modality is None else modality
            folder = base / f"cam{camera}" / f"{pid:04d}"
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if path.suffix.lower() in _SUFFIXES:
                    yield str(path), pid, camera - 1, own


def _listed(base: Path, name: str, modality: int) -> list[Item]:
    """Return the images of a list with lines ``path label``."""
    items = []
    for number, line in enumerate(_text(base / "idx" / name).splitlines(), 1):
        if not line.strip():
            continue
        path, _, label = line.strip().rpartition(" ")
        if not path or not label.isdigit():
            raise DataError(
                f"line {number} of '{base / 'idx' / name}' is '{line[:60]}', not 'path label'; is "
                "it the set's own?"
            )
        items.append((str(base / path), int(label), _camera(path, modality), modality))
    return items


def _camera(path: str, modality: int) -> int:
    """Return the camera that a path names; in a set that names none, each modality is one."""
    match = _CAMERA.search(path)
    return int(match[1] or match[2]) - 1 if match else modality
