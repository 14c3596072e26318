"""The data set ``adversarial``: a folder that attack-gallery wrote, read by its manifest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.jobs.manifest import Entry, read_manifest
from torchreid_adv.jobs.paths import inside
from torchreid_adv.registry import DATASETS

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset


@DATASETS.register("adversarial", video=False)
class Adversarial(ImageDataset):
    """A stored variant of a data set, listed by its manifest.

    Args:
        root: not used; ``adv.data.adversarial_dir`` names the folder.
        folder: the variant folder, for use from Python.
        kwargs: torchreid's keywords (transform, mode...).

    Raises:
        ConfigError: no folder is given.
        DataError: the folder holds no whole manifest, or one whose files lie elsewhere.
    """

    _junk_pids = [0, -1]  # noqa: RUF012 (torchreid's own declaration)

    def __init__(self, root: str = "", folder: str | Path = "", **kwargs: Any) -> None:
        place = str(folder) or config.current().adv.data.adversarial_dir
        if not place:
            raise ConfigError(
                "the data set 'adversarial' needs adv.data.adversarial_dir: "
                "the folder that holds manifest.jsonl"
            )
        self.dataset_dir = Path(os.path.expanduser(place))
        if not os.path.isdir(self.dataset_dir):
            raise DataError(
                f"adv.data.adversarial_dir names '{place}', and there is no such folder"
            )
        manifest = read_manifest(self.dataset_dir)
        sides = {s: self._items(manifest.side(s)) for s in ("train", "query", "gallery")}
        super().__init__(**sides, **kwargs)

    def _items(self, entries: tuple[Entry, ...]) -> list[tuple[str, int, int]]:
        return [(str(inside(self.dataset_dir, e.output)), e.pid, e.camid) for e in entries]
