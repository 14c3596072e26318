"""The images of a report: read from their files, scaled down, and encoded as data: URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace

from PIL import Image

from torchreid_adv.data.images import read_image
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.models.features import Features

THUMB = (192, 384)  # width, height: twice what a list shows, for dense screens


@dataclass(frozen=True)
class Card:
    """An image as a list shows it.

    Args:
        picture: RGB image, small.
        image_id: its name.
        pid: identity.
        camid: camera.
        attacked: it was changed by the attack and is shown as stored.
        distance: to the query; None for the query itself.
        right: it shows the query's identity; None for the query itself.
        positions: of an image that a targeted attack pulled, its positions before and after, from
            1; None for others.
    """

    picture: Image.Image
    image_id: str
    pid: int
    camid: int
    attacked: bool = False
    distance: float | None = None
    right: bool | None = None
    positions: tuple[int, int] | None = None

    @property
    def uri(self) -> str:
        """The picture as a data: URI."""
        return data_uri(png(self.picture))


def load(target: AttackedData, image_id: str, *, after: bool) -> Image.Image:
    """Read an image of the target, before or after the attack.

    Raises:
        DataError: its file is missing or no readable image.
    """
    return read_image(target.path(image_id, after=after))


def card(target: AttackedData, side: Features, row: int, *, after: bool) -> Card:
    """Make the card of one row of query or gallery."""
    image_id = side.image_ids[row]
    picture = load(target, image_id, after=after)
    picture.thumbnail(THUMB, Image.Resampling.LANCZOS)
    attacked = after and image_id in target.attacked
    pid, camid = int(side.pids[row]), int(side.camids[row])
    return Card(picture, image_id, pid, camid, attacked)


def found_card(
    target: AttackedData, query: Card, row: int, *, after: bool, distance: float
) -> Card:
    """Make the card of a gallery image in a query's list, with its distance and correctness."""
    gallery_card = card(target, target.gallery, row, after=after)
    return replace(gallery_card, distance=distance, right=gallery_card.pid == query.pid)


def png(picture: Image.Image) -> bytes:
    """Encode an image as PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def data_uri(content: bytes) -> str:
    """Turn the bytes of a PNG into a data: URI."""
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
