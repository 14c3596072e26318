"""The data sets ``adversarial``: a folder written by attack-gallery, read by its manifest."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.core.files import inside
from torchreid_adv.core.manifest import FILE_NAME, SIDES, Entry, Manifest, read_manifest
from torchreid_adv.data.cross_modality.modality import VISIBLE
from torchreid_adv.data.cross_modality.tracklets import Item, TrackletDataset
from torchreid_adv.data.listing import Layout, ListedFiles
from torchreid_adv.data.public_sets import with_training
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.datasets import TABLES
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS

_TOLD = ("clothes", "view")
STORED = ("adversarial", "adversarial_video")
ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset


@DATASETS.register("adversarial", video=False)
class Adversarial(ImageDataset):
    """The stored images of a data set, listed by a manifest.

    Args:
        root: ignored; ``adv.data.adversarial_dir`` names the folder.
        folder: the folder of the stored images, for use from Python.
        kwargs: torchreid's keywords (transform, mode...).

    Raises:
        ConfigError: no folder is given.
        DataError: the folder has no complete manifest, or its files are elsewhere.
    """

    _junk_pids = [0, -1]  # noqa: RUF012 (torchreid's own declaration)

    def __init__(self, root: str = "", folder: str | Path = "", **kwargs: Any) -> None:
        self.dataset_dir, manifest = _read("adversarial", folder)
        self.protocol = protocol_of(self.dataset_dir, manifest)
        sides = {s: self._items(manifest.side(s)) for s in SIDES}
        self.clothes, self.views = (_labels_by_path(self.dataset_dir, manifest, n) for n in _TOLD)
        self.names, self.test_only = _names(manifest), not sides["train"]
        super().__init__(**with_training(sides), **kwargs)

    def _items(self, entries: tuple[Entry, ...]) -> list[tuple[str, int, int]]:
        return [(str(inside(self.dataset_dir, e.output)), e.pid, e.camid) for e in entries]


@DATASETS.register("adversarial_video", video=True)
class AdversarialTracklets(TrackletDataset):
    """The stored tracklets of a data set, listed by a manifest.

    Args:
        root: ignored; ``adv.data.adversarial_dir`` names the folder.
        folder: the folder of the stored images, for use from Python.
        kwargs: see :class:`TrackletDataset`.

    Raises:
        ConfigError: no folder is given.
        DataError: as in :class:`Adversarial`, or the folder holds single images.
    """

    def __init__(self, root: str = "", folder: str | Path = "", **kwargs: Any) -> None:
        self.dataset_dir, manifest = _read("adversarial_video", folder)
        self.protocol = protocol_of(self.dataset_dir, manifest)
        if not all(entry.tracklet for entry in manifest.stored):
            raise DataError(
                f"'{self.dataset_dir}' holds single images, not tracklets; set data.type image and "
                "the data set adversarial"
            )
        sides = {side: self._items(manifest.side(side)) for side in SIDES}
        self.clothes, self.views = (_labels_by_path(self.dataset_dir, manifest, n) for n in _TOLD)
        self.names, self.test_only = _names(manifest), not sides["train"]
        super().__init__(*with_training(sides).values(), **kwargs)

    def _items(self, entries: tuple[Entry, ...]) -> list[Item]:
        ordered = sorted(entries, key=lambda e: (e.tracklet, e.frame))
        items = []
        for _, group in itertools.groupby(ordered, key=lambda e: e.tracklet):
            frames = list(group)
            paths = tuple(str(inside(self.dataset_dir, e.output)) for e in frames)
            first = frames[0]
            modality = VISIBLE if first.modality is None else first.modality
            items.append((paths, first.pid, first.camid, modality))
        return items


def _labels_by_path(folder: Path, manifest: Manifest, name: str) -> dict[str, Any]:
    """Return path -> clothes or view of the images for which the manifest has it."""
    values = ((entry.output, getattr(entry, name)) for entry in manifest.stored)
    return {
        str(inside(folder, output)): label for output, label in values if label not in ("", None)
    }


def _names(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """Return the names that numbers of identities, cameras and views stand for."""
    names = manifest.header.get("names")
    pairs = names.items() if isinstance(names, dict) else ()
    return {kind: tuple(map(str, words)) for kind, words in pairs if isinstance(words, list)}


def protocol_of(folder: Path, manifest: Manifest) -> str:
    """Return the protocol of the data set that was attacked, "" for Market-1501's.

    Older manifests only name the data set, which defines it.

    Raises:
        DataError: that data set is unknown.
    """
    if "protocol" in manifest.header:
        return str(manifest.header["protocol"])
    source = str(manifest.header.get("data", ""))
    if source in DATASETS and source not in STORED:
        class_protocol = getattr(DATASETS.get(source), "protocol", "")
        return str(DATASETS.facts(source).get("protocol", class_protocol))
    tables = vars(torchreid_module("data.datasets"))
    if any(source in tables[name] for name in TABLES.values()):
        return ""
    raise DataError(
        f"the manifest in '{folder}', written by an older version, does not name the protocol of "
        f"'{source}', and no data set of that name is registered; write the folder again, or name "
        "the module that registers the data set in adv.plugins"
    )


def _read(name: str, folder: str | Path) -> tuple[Path, Manifest]:
    """Return the folder of stored images and its manifest."""
    place = str(folder) or config.current().adv.data.adversarial_dir
    if not place:
        raise ConfigError(
            f"the data set '{name}' needs adv.data.adversarial_dir: the folder that holds "
            "manifest.jsonl"
        )
    path = Path(os.path.expanduser(place))
    if not os.path.isdir(path):
        raise DataError(f"adv.data.adversarial_dir names '{place}', and there is no such folder")
    manifest = read_manifest(path)
    _warn_of_others(path, manifest)
    return path, manifest


def _warn_of_others(folder: Path, manifest: Manifest) -> None:
    """Warn of images in the folders that the manifest does not list."""
    files = ListedFiles(folder, Layout(folder.name, f"the images that '{FILE_NAME}' lists"))
    for entry in manifest.stored:
        files.leave_out(entry.output)
    tops = {entry.output.split("/")[0] for entry in manifest.stored}
    files.warn_of_unlisted(top for top in tops if not os.path.islink(folder / top))
