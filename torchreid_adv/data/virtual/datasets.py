"""The virtual sets as torchreid data sets: rendered on first use, then read."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.data.listing import Layout
from torchreid_adv.data.lists import json_of
from torchreid_adv.data.public_sets import Item, from_0, named_images
from torchreid_adv.data.virtual.folder import RECORD, VirtualOptions
from torchreid_adv.data.virtual.plan import GALLERY, QUERY, TRAIN
from torchreid_adv.data.virtual.render import render_dataset
from torchreid_adv.integration.layout import torchreid_module

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset

LAYOUT = Layout("virtual people", f"{TRAIN}, {QUERY} and {GALLERY} as they were rendered")
_NAME = re.compile(r"(?P<pid>\d{4,})_c(?P<camera>\d+)s", re.ASCII)


def configured_options() -> VirtualOptions:
    """Return the options of the current config in ``adv.virtual``.

    Raises:
        ConfigError: a value is out of range.
    """
    virtual = config.current().adv.virtual
    return VirtualOptions(**{f.name: virtual[f.name] for f in dataclasses.fields(VirtualOptions)})


class VirtualPeople(ImageDataset):
    """Virtual people of one style, in Market-1501 layout.

    Args:
        root: data root; the set is rendered below it if missing.
        options: amount and seed; None = the current config's ``adv.virtual``.
        workers: rendering processes, 0 for none.
        kwargs: torchreid's keywords (transform, mode, combineall...); others (``split_id``,
            ``cuhk03_labeled``...) are ignored.

    Raises:
        ConfigError: options are out of range, or the set cannot be rendered.
    """

    style = ""
    _junk_pids = [0, -1]  # noqa: RUF012 (torchreid's own declaration)

    def __init__(
        self,
        root: str = "",
        options: VirtualOptions | None = None,
        workers: int = 0,
        **kwargs: Any,
    ) -> None:
        self.root = str(Path(root).expanduser().absolute())
        options = options or configured_options()
        self.dataset_dir = str(render_dataset(Path(self.root), self.style, options, workers))
        train, query, gallery = (
            _items(Path(self.dataset_dir) / side) for side in (TRAIN, QUERY, GALLERY)
        )
        super().__init__(from_0(train), query, gallery, **kwargs)


class VirtualA(VirtualPeople):
    """A campus in summer: light clothes, six cameras."""

    style = "virtual_a"


class VirtualB(VirtualPeople):
    """A town in winter: dark coats, five cameras."""

    style = "virtual_b"


class VirtualC(VirtualPeople):
    """Works and sports grounds: uniforms and bright kit, four cameras."""

    style = "virtual_c"


class VirtualCLong(VirtualPeople):
    """The same over a long time: people change clothes between cameras."""

    style = "virtual_c_long"


def _items(folder: Path) -> list[Item]:
    """Return path, pid and camera (from 0) of the images of a folder, sorted by name.

    Raises:
        DataError: the images are not those that were rendered.
    """
    images = sorted(named_images(folder, _NAME, LAYOUT))
    rendered = json_of(folder.parent / RECORD, LAYOUT)["counts"].get(folder.name)
    if len(images) != rendered:
        raise LAYOUT.error(
            f"'{folder}' holds {len(images)} images, and {rendered} were rendered; remove "
            f"'{folder.parent}', and it is rendered again"
        )
    return [image.item for image in images]
