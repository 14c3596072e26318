"""Occluded-Duke: DukeMTMC-reID split so that every query is occluded."""

from __future__ import annotations

import re
from typing import Any

from torchreid_adv.data.listing import Layout
from torchreid_adv.data.public_sets import from_0, home_of, named_images, warn_of_shared
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.registry import DATASETS

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset

_LAYOUT = Layout(
    "occluded_duke",
    "bounding_box_train, query and bounding_box_test with files <pid>_c<camera>_f<frame>.jpg",
)
_NAME = re.compile(r"(?P<pid>\d+)_c(?P<camera>\d+)", re.ASCII)


@DATASETS.register("occluded_duke", video=False)
class OccludedDuke(ImageDataset):
    """Occluded-Duke, evaluated as Market-1501.

    Miao et al., Pose-Guided Feature Alignment for Occluded Person Re-Identification, 2019. Read
    from ``<root>/Occluded_Duke`` or ``<root>/occluded_duke``. The authors' lists have 15,618
    training images of 702 identities, 2,210 queries and 17,661 gallery images.

    Args:
        root: data root.
        kwargs: torchreid's keywords; unknown ones are ignored.

    Raises:
        DataError: a folder is missing or empty, or a name is not of the public layout.
    """

    def __init__(self, root: str = "", **kwargs: Any) -> None:
        places = ("Occluded_Duke", "occluded_duke", "Occluded-DukeMTMC-reID")
        folder = home_of("occluded_duke", root, places, _LAYOUT.text)
        self.dataset_dir = str(folder)
        train, query, gallery = (
            [image.item for image in named_images(folder / side, _NAME, _LAYOUT)]
            for side in ("bounding_box_train", "query", "bounding_box_test")
        )
        warn_of_shared("occluded_duke", train, query, gallery)
        super().__init__(from_0(train), query, gallery, **kwargs)
