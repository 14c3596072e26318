"""DeepChange: people over months, with clothes changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.data.listing import Layout, ListedFiles
from torchreid_adv.data.lists import lines_of, number_of
from torchreid_adv.data.public_sets import Item, home_of, numbered
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset

SPLITS = ("test", "val")

_LAYOUT = Layout(
    "deepchange",
    "train-set, val-set-query, val-set-gallery, test-set-query and test-set-gallery, each with a "
    "list next to it, as train-set-bbox.txt, of lines P<pid>_C<camera>_<clothes>_...,<tracklet>",
)
_LINE = re.compile(
    r"(?P<name>P(?P<pid>\d+)_C\d+_(?P<clothes>[^_.,]+)[^,]*),(?P<tracklet>\d+)", re.ASCII
)


@dataclass(frozen=True)
class _Seen:
    path: str
    pid: int
    tracklet: int
    clothes: str


@DATASETS.register("deepchange", video=False)
class DeepChange(ImageDataset):
    """DeepChange, whose people change clothes between query and gallery.

    Xu and Zhu, DeepChange: A Long-Term Person Re-Identification Benchmark, 2021. Read from
    ``<root>/DeepChangeDataset`` or ``<root>/deepchange/DeepChangeDataset``. Its protocol counts
    matches by the query's camera, but not those of its tracklet: so the tracklet takes the place of
    the camera. ``clothes`` maps each path to person and clothes, such as ``P12_3``.

    Args:
        root: data root.
        split_id: 0 = the test set's queries and gallery, 1 = those of the validation set
            (``data.split_id``).
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        ConfigError: split_id is out of range.
        DataError: a folder or a list is missing, or a line is not of the public layout.
    """

    def __init__(self, root: str = "", split_id: int = 0, **kwargs: Any) -> None:
        if split_id not in range(len(SPLITS)):
            raise ConfigError(
                f"data.split_id of deepchange is 0 (test) or 1 (validation), got {split_id!r}"
            )
        places = ("DeepChangeDataset", "deepchange/DeepChangeDataset")
        folder = home_of("deepchange", root, places, _LAYOUT.text)
        self.dataset_dir = str(folder)
        train = list(_listed(folder, "train-set"))
        query, gallery = (
            list(_listed(folder, f"{SPLITS[split_id]}-set-{side}")) for side in ("query", "gallery")
        )
        self.clothes = {
            image.path: f"P{image.pid}_{image.clothes}" for image in (*train, *query, *gallery)
        }
        labels = numbered(image.pid for image in train)
        tracklets = numbered(image.tracklet for image in (*query, *gallery))
        super().__init__(
            [
                (path, labels[pid], camid)
                for path, pid, camid in _items(train, numbered(image.tracklet for image in train))
            ],
            _items(query, tracklets),
            _items(gallery, tracklets),
            **kwargs,
        )


def _items(seen: Iterable[_Seen], tracklets: dict[int, int]) -> list[Item]:
    return [(image.path, image.pid, tracklets[image.tracklet]) for image in seen]


def _listed(folder: Path, split: str) -> Iterator[_Seen]:
    """Yield the images in the list of a split, in order."""
    for missing in (folder / split, folder / f"{split}-bbox.txt"):
        if not missing.exists():
            raise _LAYOUT.error(f"'{missing}' is missing")
    files = ListedFiles(folder / split, _LAYOUT)
    for line in lines_of(folder / f"{split}-bbox.txt", _LAYOUT):
        match = _LINE.fullmatch(line.text)
        if match is None:
            raise _LAYOUT.error(f"{line.where} is '{line.text[:80]}'")
        path = files.path(match["name"], line.where)
        pid, tracklet = (
            number_of(match[name], line.where, _LAYOUT) for name in ("pid", "tracklet")
        )
        yield _Seen(path, pid, tracklet, match["clothes"])
    files.warn_of_unlisted()
