"""PersonX: synthetic people seen from all sides, in several scenes."""

from __future__ import annotations

import re
from typing import Any

from torchreid_adv.data.listing import Layout
from torchreid_adv.data.public_sets import from_0, home_of, images_in, numbered, warn_of_shared
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset

SCENES = ("4", "5", "6")

_LAYOUT = Layout(
    "personx_456", "{4,5,6}/{bounding_box_train,query,bounding_box_test}/<pid>_c<camera>...jpg"
)
_NAME = re.compile(r"(?P<pid>-1|\d+)_c(?P<camera>\d+)", re.ASCII)
_NOBODY = -1

_Row = tuple[str, int, tuple[str, int]]


@DATASETS.register("personx_456", video=False)
class PersonX456(ImageDataset):
    """PersonX with backgrounds 4, 5 and 6, the pictured scenes, as one set with several cameras.

    Sun and Zheng, Dissecting Person Re-Identification from the Viewpoint of Viewpoint, 2019. Read
    from ``<root>/personx/PersonX_v1`` or ``<root>/PersonX_v1``. An identity is the same person in
    all scenes; cameras of different scenes are different. The first release has 410 training
    identities and 44,280 training images.

    Args:
        root: data root.
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        DataError: a folder is missing or empty, or a name has no identity and camera.
    """

    _junk_pids = [0, -1]  # noqa: RUF012 (torchreid's own declaration)

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        places = ("personx/PersonX_v1", "PersonX_v1")
        folder = home_of("personx_456", root, places, _LAYOUT.text)
        self.dataset_dir = str(folder)
        sides: list[list[_Row]] = []
        for split in ("bounding_box_train", "query", "bounding_box_test"):
            images = [
                (path, int(name["pid"]), (scene, int(name["camera"])))
                for scene in SCENES
                for path, name in images_in(folder / scene / split, _NAME, _LAYOUT)
            ]
            sides.append([row for row in images if row[1] != _NOBODY])
        cameras = numbered(camera for rows in sides for _, _, camera in rows)
        train, query, gallery = (
            [(path, pid, cameras[camera]) for path, pid, camera in rows] for rows in sides
        )
        warn_of_shared("personx_456", train, query, gallery)
        super().__init__(from_0(train), query, gallery, **kwargs)
