"""PRCC, LTCC, CCVID and Celeb-reID: people who change their clothes.

Clothes decide which matches count. ``*_cc`` search people in other clothes, ``*_sc`` people in the
same clothes: see the protocols ``clothes_changed`` and ``clothes_same``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.data.cross_modality.modality import VISIBLE, relabeled
from torchreid_adv.data.cross_modality.tracklets import Item as TrackletItem
from torchreid_adv.data.cross_modality.tracklets import TrackletDataset
from torchreid_adv.data.listing import Layout, ListedFiles, images_at, subfolders
from torchreid_adv.data.lists import lines_of, number_of
from torchreid_adv.data.public_sets import Item, from_0, home_of, images_in, matched, warn_of_shared
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset

_PRCC = Layout(
    "prcc",
    "rgb/train/<pid>/<camera A, B or C>_*.jpg and rgb/test/{A,B,C}/<pid>/*.jpg",
)
_PRCC_TRAIN = re.compile(r"(?P<camera>[ABC])_", re.ASCII)
_PRCC_TEST = re.compile(r"(?:(?P<camera>[ABC])_)?\w", re.ASCII)
_CAMERAS = "ABC"  # A and B show the same clothes, C other clothes

_LTCC = Layout("ltcc", "train, query and test with files <pid>_<clothes>_c<camera>_<number>.png")
_LTCC_NAME = re.compile(r"(?P<pid>\d+)_(?P<clothes>\d+)_c(?P<camera>\d+)_", re.ASCII)

_CCVID = Layout(
    "ccvid",
    "train.txt, query.txt and gallery.txt of lines '<session>/<name>_<camera> <pid> <clothes>', "
    "and these folders with frames",
)
_CCVID_LINE = re.compile(
    r"(?P<folder>session(?P<session>\d+)/\w+?_(?P<camera>\d+))\s+(?P<pid>\d+)\s+(?P<clothes>\S+)",
    re.ASCII,
)
# cameras of the last session are numbered after the earlier ones
_LAST_SESSION, _CAMERAS_BEFORE = 3, 12

_CELEB = Layout("celeb_reid", "train, query and gallery with files <pid>_<number>_<number>.jpg")
_CELEB_NAME = re.compile(r"(?P<pid>\d+)_\d+_", re.ASCII)


class PRCC(ImageDataset):
    """PRCC: three cameras; A and B show the same clothes, C other clothes.

    Yang et al., Person Re-identification by Contour Sketch under Moderate Clothing Change, 2019.
    Read from ``<root>/prcc/rgb``; its folder ``val`` (more images of the training identities) is
    not read. The gallery is one image of each identity by camera A, drawn ten times.

    Args:
        root: data root.
        queries: "C" = in other clothes, "B" = in the same clothes.
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        DataError: a folder is missing or empty, or a name is not of the public layout.
    """

    protocol = "prcc"

    def __init__(self, root: str = "", *, queries: str = "C", **kwargs: Any) -> None:
        folder = home_of("prcc", root, ("prcc/rgb", "PRCC/rgb"), _PRCC.text)
        self.dataset_dir, self.clothes = str(folder), dict[str, str]()
        train = list(self._images(folder / "train", _PRCC_TRAIN))
        query, gallery = (
            list(self._images(folder / "test" / camera, _PRCC_TEST, camera))
            for camera in (queries, "A")
        )
        warn_of_shared("prcc", train, query, gallery)
        super().__init__(from_0(train), query, gallery, **kwargs)

    def _images(self, folder: Path, pattern: re.Pattern[str], camera: str = "") -> Iterator[Item]:
        """Yield the images of identities' folders, by the camera of the folder or of each name."""
        for path, name in matched(sorted(images_at(folder, _PRCC, depth=1)), pattern, _PRCC):
            pid = os.path.basename(os.path.dirname(path))
            if not (pid.isascii() and pid.isdecimal()):
                raise _PRCC.error(f"'{path}' is in the folder '{pid}', not in one with a number")
            seen = name["camera"] or camera
            if camera and seen != camera:
                raise _PRCC.error(f"'{path}' is of camera {seen} in the folder of camera {camera}")
            self.clothes[path] = f"{pid}{'C' if seen == 'C' else ''}"
            number = number_of(pid, f"the folder of '{path}'", _PRCC)
            yield path, number, _CAMERAS.index(seen)


@DATASETS.register("prcc", video=False, protocol="prcc")
def prcc(root: str = "", **kwargs: Any) -> Any:
    """Open PRCC, with queries in other clothes (camera C)."""
    return PRCC(root, queries="C", **kwargs)


@DATASETS.register("prcc_same", video=False, protocol="prcc")
def prcc_same(root: str = "", **kwargs: Any) -> Any:
    """Open PRCC, with queries in the same clothes (camera B)."""
    return PRCC(root, queries="B", **kwargs)


class LTCC(ImageDataset):
    """LTCC: people over two months, with numbered clothes.

    Qian et al., Long-Term Cloth-Changing Person Re-identification, 2020. Read from
    ``<root>/LTCC_ReID``.

    Args:
        root: data root.
        protocol: "" = as Market-1501 (the standard setting), or a protocol that uses clothes.
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        DataError: a folder is missing or empty, or a name is not of the public layout.
    """

    def __init__(self, root: str = "", *, protocol: str = "", **kwargs: Any) -> None:
        folder = home_of("ltcc", root, ("LTCC_ReID", "ltcc/LTCC_ReID"), _LTCC.text)
        self.dataset_dir, self.protocol = str(folder), protocol
        self.clothes: dict[str, str] = {}
        train, query, gallery = (list(self._images(folder / s)) for s in ("train", "query", "test"))
        warn_of_shared("ltcc", train, query, gallery)
        super().__init__(from_0(train), query, gallery, **kwargs)

    def _images(self, folder: Path) -> Iterator[Item]:
        for path, name in images_in(folder, _LTCC_NAME, _LTCC):
            camera = int(name["camera"])
            if camera < 1:
                raise _LTCC.error(f"'{path}' is of camera {camera}; cameras start from 1")
            self.clothes[path] = f"{int(name['pid'])}_{int(name['clothes'])}"
            yield path, int(name["pid"]), camera - 1


@DATASETS.register("ltcc", video=False)
def ltcc(root: str = "", **kwargs: Any) -> Any:
    """Open LTCC in its standard setting: all clothes count."""
    return LTCC(root, **kwargs)


@DATASETS.register("ltcc_cc", video=False, protocol="clothes_changed")
def ltcc_cc(root: str = "", **kwargs: Any) -> Any:
    """Open LTCC, with matches in other clothes."""
    return LTCC(root, protocol="clothes_changed", **kwargs)


@DATASETS.register("ltcc_sc", video=False, protocol="clothes_same")
def ltcc_sc(root: str = "", **kwargs: Any) -> Any:
    """Open LTCC, with matches in the same clothes."""
    return LTCC(root, protocol="clothes_same", **kwargs)


class CCVID(TrackletDataset):
    """CCVID: tracklets of 226 people in three sessions, with labeled clothes.

    Gu et al., Clothes-Changing Person Re-identification with RGB Modality Only, 2022. Read from
    ``<root>/CCVID``. Cameras of the third session differ from those before. The frames of a
    tracklet in a test follow ``video.sample_method``; the paper averages clips of 16 frames.

    Args:
        root: data root.
        protocol: "" = as Market-1501 (the standard setting), or a protocol that uses clothes.
        kwargs: see :class:`TrackletDataset`.

    Raises:
        DataError: a folder or a list is missing, or a line is not of the public layout.
    """

    modalities = False

    def __init__(self, root: str = "", *, protocol: str = "", **kwargs: Any) -> None:
        folder = home_of("ccvid", root, ("CCVID",), _CCVID.text)
        self.dataset_dir, self.protocol = str(folder), protocol
        self.clothes: dict[str, str] = {}
        train, query, gallery = (
            list(self._tracklets(folder, name)) for name in ("train", "query", "gallery")
        )
        warn_of_shared("ccvid", train, query, gallery)
        _warn_of_others(folder, [*train, *query, *gallery])
        super().__init__(relabeled(train), query, gallery, **kwargs)

    def _tracklets(self, folder: Path, name: str) -> Iterator[TrackletItem]:
        for line in lines_of(folder / f"{name}.txt", _CCVID):
            match = _CCVID_LINE.fullmatch(line.text)
            if match is None:
                raise _CCVID.error(f"{line.where} is '{line.text[:80]}'")
            session, camera, pid = (
                number_of(match[key], line.where, _CCVID) for key in ("session", "camera", "pid")
            )
            place = folder / match["folder"]
            if not place.is_dir():
                raise _CCVID.error(f"{line.where} names '{match['folder']}', which is not a folder")
            frames = tuple(sorted(images_at(place, _CCVID)))
            self.clothes[frames[0]] = f"{pid}_{match['clothes']}"
            camera += _CAMERAS_BEFORE * (session == _LAST_SESSION)
            yield frames, pid, camera, VISIBLE


def _warn_of_others(folder: Path, tracklets: list[TrackletItem]) -> None:
    """Warn of images in tracklet folders that no list names."""
    listed = {Path(frames[0]).parent for frames, *_ in tracklets}
    others = [
        f"{session.name}/{name}"
        for session in sorted({place.parent for place in listed})
        for name in subfolders(session, _CCVID)
        if session / name not in listed
    ]
    ListedFiles(folder, _CCVID).warn_of_unlisted(others)


@DATASETS.register("ccvid", video=True)
def ccvid(root: str = "", **kwargs: Any) -> Any:
    """Open CCVID in its standard setting: all clothes count."""
    return CCVID(root, **kwargs)


@DATASETS.register("ccvid_cc", video=True, protocol="clothes_changed")
def ccvid_cc(root: str = "", **kwargs: Any) -> Any:
    """Open CCVID, with matches in other clothes."""
    return CCVID(root, protocol="clothes_changed", **kwargs)


@DATASETS.register("ccvid_sc", video=True, protocol="clothes_same")
def ccvid_sc(root: str = "", **kwargs: Any) -> Any:
    """Open CCVID, with matches in the same clothes."""
    return CCVID(root, protocol="clothes_same", **kwargs)


class CelebReID(ImageDataset):
    """Celeb-reID: photographs of celebrities in changing clothes.

    There are no cameras: each image counts as its own camera, and none is excluded.

    Huang et al., Beyond Scalar Neuron: Adopting Vector-Neuron Capsules for Long-Term Person
    Re-Identification, 2019. Read from ``<root>/Celeb-reID`` or ``<root>/Celeb-reID-light``.

    Args:
        root: data root.
        light: the smaller set, in which no one wears the same clothes twice.
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        DataError: a folder is missing or empty, or a name is not of the public layout.
    """

    protocol = "no_cameras"

    def __init__(self, root: str = "", *, light: bool = False, **kwargs: Any) -> None:
        name = "Celeb-reID-light" if light else "Celeb-reID"
        folder = home_of("celeb_reid", root, (name,), _CELEB.text)
        self.dataset_dir = str(folder)
        sides, camera = [], 0
        for side in ("train", "query", "gallery"):
            images = list(images_in(folder / side, _CELEB_NAME, _CELEB))
            rows = [(path, int(m["pid"]), camera + n) for n, (path, m) in enumerate(images)]
            sides.append(rows)
            camera += len(rows)
        super().__init__(from_0(sides[0]), *sides[1:], **kwargs)


@DATASETS.register("celeb_reid", video=False, protocol="no_cameras")
def celeb_reid(root: str = "", **kwargs: Any) -> Any:
    """Open Celeb-reID."""
    return CelebReID(root, **kwargs)


@DATASETS.register("celeb_reid_light", video=False, protocol="no_cameras")
def celeb_reid_light(root: str = "", **kwargs: Any) -> Any:
    """Open Celeb-reID-light."""
    return CelebReID(root, light=True, **kwargs)
