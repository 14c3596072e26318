"""BUPTCampus: tracklets of people by six cameras, each of them filmed in both spectra at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.data.cross_modality.modality import (
    INFRARED,
    VISIBLE,
    WORDS,
    relabeled,
    sides,
)
from torchreid_adv.data.cross_modality.tracklets import Item, TrackletDataset
from torchreid_adv.errors import DataError

CAMERAS = ("LS3", "G25", "CQ1", "W4", "TSG1", "TSG2")  # camid 0 to 5
SPECTRA = {"RGB": VISIBLE, "IR": INFRARED}
BOTH = "RGB/IR"  # in the list of training tracklets


class BUPTCampus(TrackletDataset):
    """BUPTCampus (Du et al., 2023) in its public layout, searched in one direction.

    ``<root>/BUPTCampus/{train,query,gallery}.txt`` with lines ``identity spectrum camera
    tracklet``, ``data_paths.json`` with the frames of each by these four words, frames below
    ``DATA``. Queries are those of one spectrum, the gallery is that of the other, and no camera is
    left out, as in its authors' code. The auxiliary training list and generated infrared frames
    are not read; tracklets of any length are taken.

    Args:
        root: data root.
        direction: ``i2v`` = infrared queries among visible tracklets, ``v2i`` = the other way.
        kwargs: torchreid's; those of other sets are accepted and do nothing.

    Raises:
        DataError: the folder or a list is missing, or a line of it is of something else.
    """

    protocol = "bupt_campus"

    def __init__(self, root: str = "", *, direction: str, **kwargs: Any) -> None:
        base = Path(root).expanduser().absolute() / "BUPTCampus"
        if not base.is_dir():
            raise DataError(
                f"the folder '{base}' is missing; get BUPTCampus from its authors (academic use "
                "only) and put it there, or give another --root"
            )
        self.dataset_dir = str(base)
        frames = _frames(base)
        train = relabeled(list(_items(base, "train.txt", frames)))
        query, gallery = (
            [item for item in _items(base, name, frames) if item[3] == side]
            for name, side in zip(("query.txt", "gallery.txt"), sides(direction), strict=True)
        )
        for items, side in zip((query, gallery), sides(direction), strict=True):
            if not items:
                raise DataError(f"the test tracklets of '{base}' have no {WORDS[side]}")
        super().__init__(train, query, gallery, **kwargs)


def _frames(base: Path) -> dict[str, Any]:
    path = base / "data_paths.json"
    try:
        frames = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' cannot be read ({error}); put it there") from error
    if not isinstance(frames, dict):
        raise DataError(f"'{path}' holds no frames by identity; is it BUPTCampus's?")
    return frames


def _items(base: Path, name: str, frames: dict[str, Any]) -> Iterator[Item]:
    """Yield the tracklets of a list, those that name both spectra as two."""
    try:
        lines = (base / name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the list '{base / name}' cannot be read ({error}); put it there"
        ) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where, words = f"line {number} of '{base / name}'", line.split()
        known = len(words) == 4 and words[0].isdigit() and words[2] in CAMERAS
        if not known or words[1] not in (BOTH, *SPECTRA):
            raise DataError(
                f"{where} is '{line[:60]}', not 'identity RGB|IR|RGB/IR camera tracklet' with one "
                f"of the cameras {', '.join(CAMERAS)}; is it BUPTCampus's?"
            )
        pid, spectrum, camera, tracklet = words
        for one in SPECTRA if spectrum == BOTH else (spectrum,):
            yield (
                _paths(base, frames, (pid, one, camera, tracklet), where),
                int(pid),
                CAMERAS.index(camera),
                SPECTRA[one],
            )


def _paths(
    base: Path, frames: dict[str, Any], words: tuple[str, ...], where: str
) -> tuple[str, ...]:
    found: Any = frames
    for word in words:
        found = found.get(word) if isinstance(found, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(f, str) for f in found):
        raise DataError(
            f"{where} names a tracklet that data_paths.json has no frames of; are both files of "
            "the same release?"
        )
    return tuple(str(base / "DATA" / frame) for frame in found)
