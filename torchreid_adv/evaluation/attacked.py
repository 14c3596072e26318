"""The result of attacking one data set: scores, features before and after, and images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.distances import Distance
from torchreid_adv.errors import DataError
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.models.features import Features


@dataclass(frozen=True)
class AttackedData:
    """An attacked data set: its results, its features before and after, and its images.

    Args:
        name: data set name, the key of ``results["targets"]``.
        results: ``results.json["targets"][name]``.
        query: clean query features, as scored.
        gallery: clean gallery features, as scored.
        query_after: query features after the attack; ``query`` when the gallery was attacked.
        gallery_after: gallery features after the attack; ``gallery`` when queries were attacked.
        paths: image_id -> original file.
        paths_after: image_id -> stored PNG; images that are missing here were not changed.
        attacked: image_ids of the attacked images.
        side: ``gallery`` or ``query``.
        eps: L-infinity bound in [0, 1].
        protocol: the rules of evaluation.
        pulled: for a targeted attack, image_id -> its target identity.
        warnings: what makes numbers on the data set doubtful.

    Raises:
        DataError: features before and after belong to different images or orders.
    """

    name: str
    results: dict[str, Any]
    query: Features
    gallery: Features
    query_after: Features
    gallery_after: Features
    paths: dict[str, Path]
    paths_after: dict[str, Path]
    attacked: frozenset[str]
    side: str
    eps: float
    protocol: Protocol
    pulled: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pairs = ((self.query, self.query_after), (self.gallery, self.gallery_after))
        for side, (before, after) in zip(("query", "gallery"), pairs, strict=True):
            if before.image_ids != after.image_ids:
                raise DataError(
                    f"the report on {self.name!r} needs the same {side} images in the same order "
                    f"before and after the attack, got {len(before)} and {len(after)} that differ"
                )

    @property
    def distance(self) -> Distance:
        """The distance that ranks the gallery."""
        return self.protocol.distance

    def path(self, image_id: str, *, after: bool) -> Path:
        """Return the file of an image; after the attack, the stored file if there is one.

        Raises:
            DataError: the image has no known file.
        """
        path = self.paths_after.get(image_id) if after else None
        path = path or self.paths.get(image_id)
        if path is None:
            raise DataError(
                f"the report on {self.name!r} knows no file of the image {image_id!r}; "
                "paths need an entry for every image of query and gallery"
            )
        return path

    @torch.no_grad()
    def distances(self, row: int, places: list[int], *, after: bool) -> list[float]:
        """Return the distances of a query to some gallery images, before or after the attack."""
        query = self.query_after if after else self.query
        gallery = self.gallery_after if after else self.gallery
        return self.distance(query.values[[row]], gallery.values[places])[0].tolist()
