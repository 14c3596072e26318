"""8-bit images for OpenCV's drawing functions. ``pixels.py`` would do, but loads torch.

Rendering processes are started by the dozen and need numpy and OpenCV alone.
"""

from __future__ import annotations

import cv2
import numpy as np

from torchreid_adv.data.virtual.wardrobe import RGB

_TOP = int(np.iinfo(np.uint8).max)


def ink(color: RGB, factor: float = 1.0) -> tuple[int, int, int]:
    """Return an RGB color of [0, 1], times a factor, in 8-bit levels."""
    red, green, blue = (round(min(max(c * factor, 0.0), 1.0) * _TOP) for c in color)
    return red, green, blue


def to_levels(image: np.ndarray) -> np.ndarray:
    """Turn a float image of [0, 1] into uint8, rounding to the nearest level; none is negative."""
    return cv2.convertScaleAbs(image, alpha=_TOP)


def to_float(image: np.ndarray) -> np.ndarray:
    """Turn a uint8 image into float32 of [0, 1]."""
    return image.astype(np.float32) * np.float32(1 / _TOP)
