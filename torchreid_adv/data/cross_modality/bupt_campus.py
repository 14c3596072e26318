"""BUPTCampus: tracklets of people by six cameras, each filmed in both spectra at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.data.cross_modality.modality import INFRARED, VISIBLE, WORDS, relabeled, sides
from torchreid_adv.data.cross_modality.tracklets import Item, TrackletDataset
from torchreid_adv.data.listing import Layout, ListedFiles
from torchreid_adv.data.lists import Line, json_of, lines_of, number_of
from torchreid_adv.data.public_sets import home_of
from torchreid_adv.errors import DataError

CAMERAS = ("LS3", "G25", "CQ1", "W4", "TSG1", "TSG2")  # camid 0 to 5
SPECTRA = {"RGB": VISIBLE, "IR": INFRARED}
BOTH = "RGB/IR"  # in the list of training tracklets

LAYOUT = Layout(
    "BUPTCampus",
    "train.txt, query.txt and gallery.txt of lines 'identity spectrum camera tracklet', "
    "data_paths.json with the frames of each, and DATA with these frames; get BUPTCampus from its "
    "authors (academic use only)",
)


class BUPTCampus(TrackletDataset):
    """BUPTCampus (Du et al., 2023) in its public layout, searched in one direction.

    ``<root>/BUPTCampus/{train,query,gallery}.txt`` with lines ``identity spectrum camera
    tracklet``, ``data_paths.json`` with the frames for these four words, and frames below
    ``DATA``. Queries have one spectrum and the gallery the other, and no camera is excluded, as in
    the authors' code. The auxiliary training list and generated infrared frames are not read;
    tracklets of any length are used.

    Args:
        root: data root.
        direction: ``i2v`` = infrared queries among visible tracklets, ``v2i`` = vice versa.
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        DataError: the folder or a list is missing, or a line of it is invalid.
    """

    protocol = "bupt_campus"

    def __init__(self, root: str = "", *, direction: str, **kwargs: Any) -> None:
        base = home_of("bupt_campus", root, ("BUPTCampus",), LAYOUT.text)
        self.dataset_dir = str(base)
        reader = _Reader(base)
        train = relabeled(list(reader.items("train.txt")))
        query, gallery = (
            [item for item in reader.items(name) if item[3] == side]
            for name, side in zip(("query.txt", "gallery.txt"), sides(direction), strict=True)
        )
        reader.warn_of_unlisted()
        for items, side in zip((query, gallery), sides(direction), strict=True):
            if not items:
                raise DataError(f"the test tracklets of '{base}' have no {WORDS[side]}")
        super().__init__(train, query, gallery, **kwargs)


class _Reader:
    """The lists of a folder, and their frames."""

    def __init__(self, base: Path) -> None:
        self.base, self.path = base, base / "data_paths.json"
        self.files = ListedFiles(base / "DATA", LAYOUT)
        self.frames = json_of(self.path, LAYOUT)
        if not isinstance(self.frames, dict):
            raise LAYOUT.error(f"'{self.path}' holds no frames by identity; is it BUPTCampus's?")

    def items(self, name: str) -> Iterator[Item]:
        """Yield the tracklets of a list; a line with both spectra gives two."""
        for line in lines_of(self.base / name, LAYOUT):
            words = line.text.split()
            known = len(words) == 4 and words[2] in CAMERAS and words[1] in (BOTH, *SPECTRA)
            if not known or not (words[0].isascii() and words[0].isdecimal()):
                raise LAYOUT.error(
                    f"{line.where} is '{line.text[:60]}', not 'identity RGB|IR|RGB/IR camera "
                    f"tracklet' with one of the cameras {', '.join(CAMERAS)}; is it BUPTCampus's?"
                )
            pid, spectra, camera, tracklet = words
            number = number_of(pid, line.where, LAYOUT)
            for spectrum in SPECTRA if spectra == BOTH else (spectra,):
                paths = self._paths((pid, spectrum, camera, tracklet), line)
                yield paths, number, CAMERAS.index(camera), SPECTRA[spectrum]

    def warn_of_unlisted(self) -> None:
        """Warn of images next to listed frames that data_paths.json does not list."""
        for frame in _texts(self.frames):
            self.files.leave_out(frame)
        self.files.warn_of_unlisted(self.files.visited())

    def _paths(self, words: tuple[str, ...], line: Line) -> tuple[str, ...]:
        frames: Any = self.frames
        for word in words:
            frames = frames.get(word) if isinstance(frames, dict) else None
        if (
            not isinstance(frames, list)
            or not frames
            or not all(isinstance(f, str) for f in frames)
        ):
            raise LAYOUT.error(
                f"{line.where} names a tracklet that data_paths.json has no frames of; are both "
                "files of the same release?"
            )
        where = f"'{self.path}', for {line.where},"
        return tuple(self.files.path(frame, where) for frame in frames)


def _texts(value: Any) -> Iterator[str]:
    """Yield the strings at any level of a JSON value."""
    for part in value.values() if isinstance(value, dict) else value:
        if isinstance(part, str):
            yield part
        elif isinstance(part, (dict, list)):
            yield from _texts(part)
