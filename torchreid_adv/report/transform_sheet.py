"""A contact sheet of transforms: one virtual person per row, unchanged, then transformed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from torchreid_adv.core import pixels
from torchreid_adv.data.virtual.colors import to_levels
from torchreid_adv.data.virtual.image import Shot, render_image
from torchreid_adv.data.virtual.styles import style_named
from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.report.panels import Sheet
from torchreid_adv.report.style import INK, MUTED
from torchreid_adv.transforms.random_transform import RandomTransform

SIZE = (256, 128)
_CALLS = 1000  # of a transform on one person
_ORIGINAL = "original"
_CELL = (1.0, 2.0)  # inches
_MEAN, _DEVIATION = 0.45, 0.225  # about what torchreid normalizes with


def transform_sheet(names: Sequence[str], *, draws: int = 7, seed: int = 0) -> Figure:
    """Draw a row for each transform with its default options: an original, then changed images.

    Unchanged images (most transforms apply with a low probability) and repeated results are not
    shown: a transform that has no new result for a person continues with another person.

    Args:
        names: of registered transforms.
        draws: images per row, in addition to the first original.
        seed: of the draws and the people.
    """
    sheet = Sheet(len(names), 1 + draws, cell=_CELL, left=0.15, head=0)
    for row, name in enumerate(names):
        sheet.label(row, name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + row)
            cells = _cells(name, seed + row * draws)
            for column, (picture, caption) in zip(range(1 + draws), cells, strict=False):
                frame = INK if caption == _ORIGINAL else None
                sheet.show(row, column, picture, frame=frame, below=(caption, MUTED))
    return sheet.figure


def _cells(name: str, first: int) -> Iterator[tuple[Image.Image, str]]:
    """Yield people, each followed by its transformed images, with captions."""
    transform, stage = TRANSFORMS.build(name), TRANSFORMS.facts(name)["stage"]
    for person in count(first):
        image = _person(person)
        yield image, _ORIGINAL
        shown = {image.tobytes()}
        for _ in range(_CALLS):
            picture, caption = _changed(transform, image, stage)
            if picture.tobytes() not in shown:
                shown.add(picture.tobytes())
                yield picture, caption


def _person(number: int) -> Image.Image:
    style = style_named("virtual_a")
    shot = Shot(number + 1, number % len(style.cameras), number, *SIZE)
    return Image.fromarray(to_levels(render_image(style, 0, shot)))


def _changed(transform: Any, image: Image.Image, stage: str) -> tuple[Image.Image, str]:
    """Return the transformed image and its random parameters, where the transform reports them."""
    if isinstance(transform, RandomTransform):
        drawn = transform.draw(*SIZE)
        return transform.apply(image, drawn), str(getattr(drawn, "look", ""))
    if stage == "pil":
        return transform(image), ""
    mean, deviation = (_MEAN, _DEVIATION) if stage == "normalized" else (0.0, 1.0)
    tensor: Tensor = transform((pixels.to_tensor(np.asarray(image)) - mean) / deviation)
    return Image.fromarray(pixels.to_uint8(tensor * deviation + mean)), ""
