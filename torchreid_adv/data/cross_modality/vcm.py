"""HITSZ-VCM: tracklets of people by twelve cameras, each visible by day and infrared by night."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.data.cross_modality.modality import WORDS, relabeled, sides
from torchreid_adv.data.cross_modality.tracklets import Item, TrackletDataset
from torchreid_adv.data.cross_modality.vcm_lists import SPLITS, Track, VCMFiles
from torchreid_adv.data.layouts import other_root
from torchreid_adv.errors import DataError

FOLDERS = ("HITSZ-VCM", "vcm")  # below the data root


class VCM(TrackletDataset):
    """HITSZ-VCM (Lin et al., 2022) in its public layout, searched in one direction.

    Tracklets shorter than ``adv.video.min_length`` frames are left out, in the test, too. Query and
    gallery are the test tracklets of one modality and of the other; those of ``query_IDX.txt`` have
    to be the infrared ones.

    Args:
        root: data root, which holds the folder ``HITSZ-VCM`` or ``vcm``, or that folder itself.
        direction: ``i2v`` = infrared queries among visible tracklets, ``v2i`` = the other way.
        min_length: of a tracklet, frames; None = as the config says.
        kwargs: torchreid's; those of other sets (``split_id``...) are accepted and do nothing.

    Raises:
        DataError: a folder or a list is missing, a list is of something else, or no tracklet is
            long enough.
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
        """Return where the set lies below the data root.

        Raises:
            DataError: it is not there.
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
    kept = [track for track in tracks if len(track.names) >= shortest]
    if not kept:
        longest = max((len(track.names) for track in tracks), default=0)
        raise DataError(
            f"all {len(tracks)} {split} tracklets are too short: the longest has {longest} frames, "
            f"adv.video.min_length is {shortest}; lower it"
        )
    return kept


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
