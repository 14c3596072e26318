"""Own data sets as torchreid's classes: images, images of two modalities, tracklets."""

from __future__ import annotations

from typing import Any

from torchreid_adv.data.cross_modality.image_sets import CrossModalityImages
from torchreid_adv.data.cross_modality.tracklets import TrackletDataset
from torchreid_adv.data.own.sides import OwnSides
from torchreid_adv.data.public_sets import from_0
from torchreid_adv.integration.layout import torchreid_module

ImageDataset: Any = torchreid_module("data.datasets.dataset").ImageDataset


class OwnSet:
    """Attributes of own data sets besides their rows; a base of their classes.

    ``test_only``: there are no training images. torchreid then gets gallery images instead, and
    training refuses the set.
    """

    protocol = ""
    test_only = False

    def tell(self, folder: str, sides: OwnSides) -> dict[str, list[Any]]:
        """Store the attributes of the sides and return the rows, none of them empty.

        Args:
            folder: folder of the set.
            sides: sides of the set.
        """
        self.dataset_dir = folder
        self.protocol, self.clothes, self.views = sides.protocol, sides.clothes, sides.views
        self.names, self.test_only = sides.names, not sides.train
        train = sides.train or _numbered(sides.gallery)
        return {"train": train, "query": sides.query, "gallery": sides.gallery}


class OwnImages(OwnSet, ImageDataset):
    """Images; arguments as for :meth:`OwnSet.tell`, then torchreid's."""

    def __init__(self, folder: str, sides: OwnSides, **kwargs: Any) -> None:
        rows = self.tell(folder, sides)
        super().__init__(*([row[:3] for row in rows[side]] for side in rows), **kwargs)


class OwnImagesOfTwo(OwnSet, CrossModalityImages):
    """Images with a modality; arguments as for :class:`OwnImages`."""

    def __init__(self, folder: str, sides: OwnSides, **kwargs: Any) -> None:
        super().__init__(**self.tell(folder, sides), **kwargs)


class OwnTracklets(OwnSet, TrackletDataset):
    """Tracklets; arguments as for :class:`OwnImages`."""

    def __init__(self, folder: str, sides: OwnSides, **kwargs: Any) -> None:
        self.modalities = sides.modalities
        super().__init__(*self.tell(folder, sides).values(), **kwargs)


def open_sides(folder: str, sides: OwnSides, **kwargs: Any) -> Any:
    """Return torchreid's object of an own data set.

    Args:
        folder: folder of the set.
        sides: its content.
        kwargs: torchreid's keywords; unknown ones are ignored.
    """
    if not isinstance(sides.query[0][0], str):
        return OwnTracklets(folder, sides, **kwargs)
    return (OwnImagesOfTwo if sides.modalities else OwnImages)(folder, sides, **kwargs)


def _numbered(rows: list[tuple[Any, int, int, int]]) -> list[tuple[Any, int, int, int]]:
    labels = from_0(row[:3] for row in rows)
    return [(*label, row[3]) for label, row in zip(labels, rows, strict=True)]
