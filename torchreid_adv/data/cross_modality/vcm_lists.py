"""The lists of HITSZ-VCM: frames by name, tracklets by lines of that list, queries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torchreid_adv.data.cross_modality.modality import INFRARED, VISIBLE
from torchreid_adv.errors import DataError

SPLITS = ("train", "test")
FOLDERS = {"train": "Train", "test": "Test"}
_NAME = re.compile(r"(\d{4})M([12])D(\d+)T\d+F(\d+\.\w+)")
_MODALITY = {"1": INFRARED, "2": VISIBLE}
_SPECTRUM = {INFRARED: "ir", VISIBLE: "rgb"}


@dataclass(frozen=True)
class Track:
    """A tracklet as the lists state it.

    Args:
        names: of its frames, e.g. ``0001M2D3T1F1.jpg``.
        pid: identity.
        camid: camera, from 0; the same for both modalities.
        modality: 0 visible, 1 infrared.
    """

    names: tuple[str, ...]
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
        self._below = {s: base / f if (base / f).is_dir() else base for s, f in FOLDERS.items()}

    def tracks(self, split: str) -> list[Track]:
        """Return the tracklets of ``train`` or ``test`` in the order of their list.

        Raises:
            DataError: a list is missing, or one line of it is not what it should be.
        """
        names, list_name = self._lines(f"{split}_name.txt"), f"track_{split}_info.txt"
        tracks = []
        for number, line in enumerate(self._lines(list_name), 1):
            where = f"line {number} of '{self._info / list_name}'"
            fields = line.split()
            if len(fields) != 5 or not all(field.isdigit() for field in fields):
                raise DataError(
                    f"{where} is '{line[:60]}', not 'modality first last identity camera'; "
                    "is it HITSZ-VCM's list of tracklets?"
                )
            tracks.append(self._track(fields, names, where))
        return tracks

    def path(self, split: str, name: str) -> str:
        """Return the file of a frame."""
        match = _NAME.fullmatch(name)
        assert match
        pid, modality, camera, frame = match.groups()
        spectrum = _SPECTRUM[_MODALITY[modality]]
        return f"{self._below[split]}/{pid}/{spectrum}/D{camera}/{frame}"

    def check_queries(self) -> None:
        """Hold the list of queries, where there is one, against the infrared test tracklets.

        Raises:
            DataError: they differ.
        """
        path = self._info / "query_IDX.txt"
        if not path.is_file():
            return
        words = " ".join(self._lines(path.name)).split()
        infrared = [n for n, t in enumerate(self._test, 1) if t.modality == INFRARED]
        if not all(word.isdigit() for word in words) or sorted(map(int, words)) != infrared:
            raise DataError(
                f"'{path}' does not list the {len(infrared)} infrared test tracklets by their "
                "1-based rows of track_test_info.txt; is it of another split?"
            )

    @cached_property
    def _test(self) -> list[Track]:
        return self.tracks("test")

    def _track(self, fields: list[str], names: list[str], where: str) -> Track:
        first, last, pid, camera = map(int, fields[1:])
        if not 1 <= first <= last <= len(names):
            raise DataError(
                f"{where} names frames {first} to {last} of a list of {len(names)} names; "
                "are both lists of the same split?"
            )
        own = tuple(names[first - 1 : last])
        for name in own:
            match = _NAME.fullmatch(name)
            if not match:
                raise DataError(
                    f"{where} leads to the name '{name[:60]}', not one such as "
                    "'0001M2D3T1F1.jpg'; is the list of names HITSZ-VCM's?"
                )
            if (int(match[1]), match[2]) != (pid, fields[0]):
                raise DataError(
                    f"{where} says identity {pid}, modality {fields[0]}, and its frame '{name}' "
                    "says otherwise; are both lists of the same split?"
                )
        return Track(own, pid, camera - 1, _MODALITY[fields[0]])

    def _lines(self, name: str) -> list[str]:
        try:
            text = (self._info / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"the list '{self._info / name}' cannot be read ({error}); put it there"
            ) from error
        return [line.strip() for line in text.splitlines() if line.strip()]
