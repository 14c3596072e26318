"""Linear zooms of an image's center, for zoom blur and snow.

One word of 64 bits holds the red, green and blue of a pixel, so that all three are moved and
weighted together. Weights are whole numbers, and no sum reaches the next color's bits.
"""

from __future__ import annotations

import functools
from math import ceil

import cv2
import numpy as np

_BITS = 8  # of a weight
_FINE_BITS = 16  # of a weight if a word holds one number
_LEVELS = np.uint64(0x00FF_00FF_00FF_00FF)  # the bits of each color that a level takes
_SIXTEENTHS = np.uint64(0x0FFF_0FFF_0FFF_0FFF)  # and a level in sixteenths
_HALF = np.uint64(0x0080_0080_0080_0080)
_HALF_SIXTEENTH = np.uint64(0x0008_0008_0008_0008)


def packed(image: np.ndarray) -> np.ndarray:
    """Return colors (H, W, 3), uint8, as words (H, W), uint64, with 16 bits for each."""
    four = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    return four.astype("<u2").view("<u8")[..., 0]


def unpacked(words: np.ndarray, shift: int) -> np.ndarray:
    """Return the colors (H, W, 3) of words (H, W), uint8, without their lowest bits."""
    four = (words.view("<u2") >> shift).astype(np.uint8)
    return cv2.cvtColor(four.reshape(*words.shape, 4), cv2.COLOR_RGBA2RGB)


def zoomed_size(size: int, factor: float) -> int:
    """Return how many pixels the zoomed center of ``size`` pixels has: at least as many.

    One division and one product of float64, each rounded as IEEE 754 says, on every machine.
    """
    return round(ceil(size / factor) * factor)


@functools.lru_cache(1024)
def zoom_places(
    size: int, factor: float, count: int, bits: int = _BITS
) -> tuple[np.ndarray, np.ndarray]:
    """Return the source places of the first ``count`` pixels of a zoom into the center.

    The center has ceil(size / factor) pixels and is stretched to round(that times factor), its
    corners on the corners.

    Returns:
        the first of the two neighbors (count,), and the weight of the second in
        units of 2^-bits, int64.
    """
    center = ceil(size / factor)
    start, steps = (size - center) // 2, zoomed_size(size, factor) - 1
    places = np.arange(count, dtype=np.int64)
    fine = (places * (center - 1) * (2 << bits) // max(steps, 1) + 1) // 2
    first = np.minimum(fine >> bits, max(center - 2, 0))
    return start + first, fine - (first << bits)


def zoom_mean(image: np.ndarray, factors: tuple[float, ...], levels: int) -> np.ndarray:
    """Return the mean of an image and its zooms, levels truncated, uint8.

    Args:
        image: uint8 (H, W, 3).
        factors: of the zooms, at most 17, the first one 1.
        levels: the largest level.
    """
    words = packed(image)
    total = np.zeros_like(words)
    for factor in factors[1:]:
        total += _zoomed(words, factor)
    zoomed = total.view("<u2").reshape(*words.shape, 4)[..., :3]
    fine = zoomed.astype(np.int32) + 2 * 16 * image.astype(np.int32)
    return np.minimum(fine // (16 * (len(factors) + 1)), levels).astype(np.uint8)


def _zoomed(words: np.ndarray, factor: float) -> np.ndarray:
    """Return a zoom of packed colors, in sixteenths of a level."""
    (rows, down), (columns, across) = (zoom_places(n, factor, n) for n in words.shape)
    low, right = down.astype(np.uint64)[:, None], across.astype(np.uint64)
    whole = np.uint64(1 << _BITS)
    mixed = words[rows] * (whole - low) + words[rows + (down > 0)] * low
    mixed = ((mixed + _HALF) >> np.uint64(8)) & _LEVELS
    near, far = np.take(mixed, columns, axis=1), np.take(mixed, columns + (across > 0), axis=1)
    blended = near * (whole - right) + far * right
    return ((blended + _HALF_SIXTEENTH) >> np.uint64(4)) & _SIXTEENTHS


def zoomed_layer(layer: np.ndarray, factor: float) -> np.ndarray:
    """Return the whole zoom of the center of whole numbers (H, W), at most 2^40, int64."""
    (height, width), whole = layer.shape, 1 << _FINE_BITS
    rows, low = zoom_places(height, factor, zoomed_size(height, factor), _FINE_BITS)
    columns, right = zoom_places(width, factor, zoomed_size(width, factor), _FINE_BITS)
    below, low = rows + (low > 0), low[:, None]
    mixed = (layer[rows] * (whole - low) + layer[below] * low) >> _FINE_BITS
    near, far = mixed[:, columns], mixed[:, columns + (right > 0)]
    return (near * (whole - right) + far * right) >> _FINE_BITS
