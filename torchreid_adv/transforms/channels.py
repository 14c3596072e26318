"""Images of three channels chosen among red, green, blue, gray and sketch."""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import torch
from PIL import Image

from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.transforms.boxes import Box, cut
from torchreid_adv.transforms.sketching import sketch_box

VISIBLE = ("red", "green", "blue")
MODES = ("paper", "code")


class Channels(NamedTuple):
    """What stands in each channel: 'red', 'green', 'blue', 'gray' or 'sketch'."""

    first: str
    second: str
    third: str

    def of(self, image: Image.Image, box: Box) -> Image.Image:
        """Return the box of an RGB image, made of these channels."""
        region = cut(image, box)
        planes = {name: _plane(name, image, box, region) for name in set(self)}
        return Image.merge("RGB", [planes[name] for name in self])

    def __str__(self) -> str:
        return self[0] if len(set(self)) == 1 else " ".join(self)


GRAY = Channels("gray", "gray", "gray")
SKETCH = Channels("sketch", "sketch", "sketch")


def _plane(name: str, image: Image.Image, box: Box, region: Image.Image) -> Image.Image:
    if name == "sketch":
        return sketch_box(image, box)
    return region.convert("L") if name == "gray" else region.getchannel(VISIBLE.index(name))


class Fusion:
    """Draws how channels of another modality take the place of visible ones.

    ``paper``: 1 or 2 of red, green and blue, each number as likely, are replaced, and the three
    channels come in random order: 27 variants a modality. With the 6 orders of red, green and blue
    alone, gray and sketch together give the 60 that the paper counts. ``code``: as the published
    code does, the first 3 of a shuffled (red, green, blue, modality, modality): 33 variants a
    modality, with 0, 1 or 2 channels of it in 10, 60 and 30 % of the draws.

    Args:
        mode: 'paper' or 'code'.
        keep_order: leave each visible channel in its place; mode 'paper' only.

    Raises:
        ConfigError: an unknown mode, or an order that the mode cannot keep.
    """

    def __init__(self, *, mode: str = "paper", keep_order: bool = False) -> None:
        if mode not in MODES:
            raise ConfigError(f"unknown mode of channel fusion {mode!r}{suggest(str(mode), MODES)}")
        if mode == "code" and keep_order:
            raise ConfigError("mode 'code' always shuffles; leave keep_order False or take 'paper'")
        self.variants = {m: _variants(m, mode, keep_order) for m in ("gray", "sketch")}

    def draw(self, modality: str, generator: torch.Generator | None) -> Channels:
        """Draw the channels of an image that is fused with 'gray' or 'sketch'."""
        variants = self.variants[modality]
        return variants[int(torch.rand((), generator=generator).item() * len(variants))]


def _variants(modality: str, mode: str, keep_order: bool) -> list[Channels]:
    """Return every outcome as often as its probability asks for."""
    if mode == "code":
        shuffled = permutations((*VISIBLE, modality, modality), 3)
        return [Channels(*names) for names in shuffled]
    kept: list[tuple[str, ...]] = []
    for place, name in enumerate(VISIBLE):
        alone = tuple(name if i == place else modality for i in range(3))
        without = tuple(modality if i == place else VISIBLE[i] for i in range(3))
        kept += [alone, without]
    if keep_order:
        return [Channels(*names) for names in kept]
    return [Channels(*names) for row in kept for names in permutations(row)]
