"""HITSZ-VCM: people by twelve cameras, visible by day and infrared by night; and its lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.data.cross_modality.modality import INFRARED, VISIBLE, WORDS, relabeled, sides
from torchreid_adv.data.cross_modality.tracklets import Item, TrackletDataset
from torchreid_adv.data.listing import Layout, ListedFiles
from torchreid_adv.data.lists import Line, lines_of, number_of
from torchreid_adv.data.public_sets import other_root
from torchreid_adv.errors import DataError

FOLDERS = ("HITSZ-VCM", "vcm")  # below the data root


class VCM(TrackletDataset):
    """HITSZ-VCM (Lin et al., 2022) in its public layout, searched in one direction.

    Tracklets shorter than ``adv.video.min_length`` frames are excluded, also from the test. Query
    and gallery are the test tracklets of the two modalities; ``query_IDX.txt`` must list the
    infrared ones.

    Args:
        root: data root, with the folder ``HITSZ-VCM`` or ``vcm``, or that folder itself.
        direction: ``i2v`` = infrared queries among visible tracklets, ``v2i`` = vice versa.
        min_length: smallest number of frames of a tracklet; None = as in the config.
        kwargs: torchreid's keywords; others (``split_id``...) are ignored.

    Raises:
        DataError: a folder or a list is missing, a list is invalid, or no tracklet is long enough.
    """

    def __init__(
        self, root: str = "", *, direction: str, min_length: int | None = None, **kwargs: Any
    ) -> None:
        self.root = str(Path(root).expanduser().absolute())
        self.dataset_dir = str(self.folder(Path(self.root)))
        files = VCMFiles(Path(self.dataset_dir))
        shortest = config.current().adv.video.min_length if min_length is None else min_length
        tracks = {split: _long_enough(files, split, shortest) for split in SPLITS}
        files.check_queries()
        query, gallery = (
            _items(files, "test", [t for t in tracks["test"] if t.modality == side])
            for side in sides(direction)
        )
        for side, items in zip(sides(direction), (query, gallery), strict=True):
            if not items:
                raise DataError(f"the test tracklets of '{self.dataset_dir}' have no {WORDS[side]}")
        train = relabeled(_items(files, "train", tracks["train"]))
        files.warn_of_unlisted()
        super().__init__(train, query, gallery, **kwargs)

    def folder(self, root: Path) -> Path:
        """Return the folder of the set below the data root.

        Raises:
            DataError: it is missing.
        """
        for place in (*(root / name for name in FOLDERS), root):
            if any((below / "train_name.txt").is_file() for below in (place / "info", place)):
                return place
        raise DataError(
            f"HITSZ-VCM is not below '{root}': no train_name.txt in HITSZ-VCM/info or HITSZ-VCM; "
            "get it from its authors (academic use only), unpack it there or give another --root"
            f"{other_root(root, [f'{f}/{b}' for f in FOLDERS for b in ('info', 'Train')])}"
        )


def _long_enough(files: VCMFiles, split: str, shortest: int) -> list[Track]:
    tracks = files.tracks(split)
    long_tracks = [track for track in tracks if len(track.names) >= shortest]
    if not long_tracks:
        longest = max((len(track.names) for track in tracks), default=0)
        raise DataError(
            f"all {len(tracks)} {split} tracklets are too short: the longest has {longest} frames, "
            f"adv.video.min_length is {shortest}; lower it"
        )
    return long_tracks


def _items(files: VCMFiles, split: str, tracks: list[Track]) -> list[Item]:
    frames = files.files(split)
    return [
        (
            tuple(frames.path(files.frame(line.text), line.where) for line in track.names),
            track.pid,
            track.camid,
            track.modality,
        )
        for track in tracks
    ]


SPLITS = ("train", "test")
LIST_FOLDERS = {"train": "Train", "test": "Test"}
LAYOUT = Layout(
    "HITSZ-VCM",
    "Train and Test with <pid>/{ir,rgb}/D<camera>/<frame>.jpg, and info with train_name.txt, "
    "track_train_info.txt, test_name.txt, track_test_info.txt and, if you have it, query_IDX.txt",
)
_NAME = re.compile(r"(\d{4})M([12])D(\d+)T\d+F(\d+\.\w+)", re.ASCII)
_MODALITY = {"1": INFRARED, "2": VISIBLE}
_SPECTRUM = {INFRARED: "ir", VISIBLE: "rgb"}


@dataclass(frozen=True)
class Track:
    """A tracklet, as listed.

    Args:
        names: names of its frames, e.g. ``0001M2D3T1F1.jpg``, with their lines.
        pid: identity.
        camid: camera, from 0; the same for both modalities.
        modality: 0 visible, 1 infrared.
    """

    names: list[Line]
    pid: int
    camid: int
    modality: int


class VCMFiles:
    """A folder of HITSZ-VCM: its lists, in ``info`` or next to the identities, and its frames.

    Args:
        base: the folder.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self._info = base / "info" if (base / "info").is_dir() else base
        self._tracks: dict[str, list[Track]] = {}
        self._below = {
            s: base / f if (base / f).is_dir() else base for s, f in LIST_FOLDERS.items()
        }
        self._files = {folder: ListedFiles(folder, LAYOUT) for folder in self._below.values()}

    def tracks(self, split: str) -> list[Track]:
        """Return the tracklets of ``train`` or ``test`` in the order of their list.

        Raises:
            DataError: a list is missing or has an invalid line.
        """
        if split not in self._tracks:
            self._tracks[split] = self._listed(split)
        return self._tracks[split]

    def _listed(self, split: str) -> list[Track]:
        names = lines_of(self._info / f"{split}_name.txt", LAYOUT)
        tracks = []
        for line in lines_of(self._info / f"track_{split}_info.txt", LAYOUT):
            fields = line.text.split()
            if len(fields) != 5 or not all(f.isascii() and f.isdecimal() for f in fields):
                raise LAYOUT.error(
                    f"{line.where} is '{line.text[:60]}', not 'modality first last identity "
                    "camera'; is it HITSZ-VCM's list of tracklets?"
                )
            tracks.append(self._track(fields, names, line.where))
        return tracks

    def files(self, split: str) -> ListedFiles:
        """Return the frames of ``train`` or ``test``, found by :meth:`frame`."""
        return self._files[self._below[split]]

    def warn_of_unlisted(self) -> None:
        """Warn of images that the lists do not name."""
        for split in SPLITS:
            for line in lines_of(self._info / f"{split}_name.txt", LAYOUT):
                self.files(split).leave_out(self.frame(line.text))
        for files in self._files.values():
            files.warn_of_unlisted()

    @staticmethod
    def frame(name: str) -> str:
        """Return the path of a frame by its name, below the folder of its split."""
        pid, modality, camera, frame = _parts(name)
        return f"{pid}/{_SPECTRUM[_MODALITY[modality]]}/D{camera}/{frame}"

    def check_queries(self) -> None:
        """Compare the list of queries, if there is one, with the infrared test tracklets.

        Raises:
            DataError: they differ.
        """
        path = self._info / "query_IDX.txt"
        if not path.exists():
            return
        words = " ".join(line.text for line in lines_of(path, LAYOUT)).split()
        infrared = [n for n, t in enumerate(self.tracks("test"), 1) if t.modality == INFRARED]
        rows = {str(number) for number in infrared}
        if len(words) != len(rows) or {word.lstrip("0") for word in words} != rows:
            raise LAYOUT.error(
                f"'{path}' does not list the {len(infrared)} infrared test tracklets by their "
                "1-based rows of track_test_info.txt; is it of another split?"
            )

    def _track(self, fields: list[str], names: list[Line], where: str) -> Track:
        first, last, pid, camera = (number_of(f, where, LAYOUT) for f in fields[1:])
        if not 1 <= first <= last <= len(names):
            raise LAYOUT.error(
                f"{where} names frames {first} to {last} of a list of {len(names)} names; "
                "are both lists of the same split?"
            )
        if camera < 1:
            raise LAYOUT.error(f"{where} is of camera 0; cameras start from 1")
        frames = names[first - 1 : last]
        for line in frames:
            match = _NAME.fullmatch(line.text)
            if not match:
                raise LAYOUT.error(
                    f"{line.where} is '{line.text[:60]}', not one such as "
                    "'0001M2D3T1F1.jpg'; is the list of names HITSZ-VCM's?"
                )
            if (int(match[1]), match[2]) != (pid, fields[0]):
                raise LAYOUT.error(
                    f"{where} says identity {pid}, modality {fields[0]}, and its frame "
                    f"'{line.text}' says otherwise ({line.where}); are both lists of the same "
                    "split?"
                )
        return Track(frames, pid, camera - 1, _MODALITY[fields[0]])


def _parts(name: str) -> tuple[str, ...]:
    """Return identity, modality, camera and file from the name of a frame."""
    match = _NAME.fullmatch(name)
    return match.groups() if match else ("", "", "", "")
