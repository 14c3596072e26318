"""The lists of HITSZ-VCM: frames by name, tracklets by lines of that list, queries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from torchreid_adv.data.cross_modality.modality import INFRARED, VISIBLE
from torchreid_adv.data.listing import Layout, ListedFiles
from torchreid_adv.data.lists import Line, lines_of, number_of

SPLITS = ("train", "test")
FOLDERS = {"train": "Train", "test": "Test"}
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
    """A tracklet as the lists state it.

    Args:
        names: of its frames, e.g. ``0001M2D3T1F1.jpg``, as lines of their list.
        pid: identity.
        camid: camera, from 0; the same for both modalities.
        modality: 0 visible, 1 infrared.
    """

    names: list[Line]
    pid: int
    camid: int
    modality: int


class VCMFiles:
    """A folder of HITSZ-VCM: its lists, in ``info`` or beside the identities, and its frames.

    Args:
        base: the folder.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self._info = base / "info" if (base / "info").is_dir() else base
        self._tracks: dict[str, list[Track]] = {}
        self._below = {s: base / f if (base / f).is_dir() else base for s, f in FOLDERS.items()}
        self._files = {folder: ListedFiles(folder, LAYOUT) for folder in self._below.values()}

    def tracks(self, split: str) -> list[Track]:
        """Return the tracklets of ``train`` or ``test`` in the order of their list.

        Raises:
            DataError: a list is missing, or one line of it is not what it should be.
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
        """Return the frames of ``train`` or ``test``, to be found by :meth:`frame`."""
        return self._files[self._below[split]]

    def warn_of_unlisted(self) -> None:
        """Name the images that the lists of names do not have."""
        for split in SPLITS:
            for line in lines_of(self._info / f"{split}_name.txt", LAYOUT):
                self.files(split).leave_out(self.frame(line.text))
        for files in self._files.values():
            files.warn_of_unlisted()

    @staticmethod
    def frame(name: str) -> str:
        """Return where the frame of a name lies below the folder of its split."""
        pid, modality, camera, frame = _parts(name)
        return f"{pid}/{_SPECTRUM[_MODALITY[modality]]}/D{camera}/{frame}"

    def check_queries(self) -> None:
        """Hold the list of queries, where there is one, against the infrared test tracklets.

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
    """Return identity, modality, camera and file that the name of a frame tells."""
    match = _NAME.fullmatch(name)
    return match.groups() if match else ("", "", "", "")
