"""Images of three channels chosen among red, green, blue, gray and sketch."""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.transforms.boxes import Box, cut

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


TAPS = 27
SIGMA = 4.4  # what OpenCV takes for 27 taps: 0.3 * ((27 - 1) / 2 - 1) + 0.8
REACH = TAPS // 2
_STEPS = 256  # of OpenCV's fixed-point weights; also the scale of the dodge


def _kernel() -> np.ndarray:
    """Return the blur's weights in whole 256ths: rounding errors are carried inwards, as OpenCV."""
    weights = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / SIGMA) ** 2)
    exact = weights / weights.sum() * _STEPS
    whole, carried = np.zeros(TAPS), 0.0
    for tap in range(REACH):
        carried += exact[tap]
        whole[tap] = whole[-1 - tap] = np.rint(carried)
        carried -= whole[tap]
    whole[REACH] = _STEPS - whole.sum()
    used = np.flatnonzero(whole)
    return (whole[used[0] : used[-1] + 1] / _STEPS).astype(np.float32)


KERNEL = _kernel()


def blurred(levels: np.ndarray) -> np.ndarray:
    """Blur uint8 (H, W) as ``cv2.GaussianBlur(levels, (27, 27), 0)`` does, to the bit.

    That function works in fixed point. The same sums are exact in float32 (24 bits), several times
    faster; ``delta`` makes the cast to uint8 round to the nearest level, ties up.
    """
    sums = cv2.sepFilter2D(levels, cv2.CV_32F, KERNEL, KERNEL, delta=0.5)
    return sums.astype(np.uint8)


def sketched(gray: np.ndarray) -> np.ndarray:
    """Return the sketch of a gray image: the image, color-dodged by its inverse's blur.

    ``s = round(256 g / (255 - blur(255 - g)))``, at most 255, and 0 where the divisor is 0. A flat
    image becomes white, except a black one, which stays black.

    Args:
        gray: uint8 (H, W).

    Returns:
        uint8 (H, W).
    """
    blur = blurred(cv2.bitwise_not(gray)).reshape(gray.shape)
    return np.asarray(cv2.divide(gray, LEVELS - blur, scale=_STEPS)).reshape(gray.shape)


def sketch_box(image: Image.Image, box: Box) -> Image.Image:
    """Return the sketch of a box of an RGB image, mode "L": what the whole image's has there."""
    wider = box.grown(REACH, height=image.height, width=image.width)
    sketch = sketched(np.asarray(cut(image, wider).convert("L")))
    top, left = box.top - wider.top, box.left - wider.left
    return Image.fromarray(sketch[top : top + box.height, left : left + box.width])
