"""Sketch images: what stands out of a gray image when it is divided by its own blur."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from torchreid_adv.pixels import LEVELS
from torchreid_adv.transforms.boxes import Box, cut

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
