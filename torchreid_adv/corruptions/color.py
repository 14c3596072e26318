"""Light and color: brightness, contrast and saturation.

Parameters are those of Michaelis et al. (2019), after Hendrycks and Dietterich (ICLR 2019).
Hue, saturation and value are never computed as such: what the formulas give of them is a ratio of
whole numbers in red, green and blue. Levels are truncated.
"""

from __future__ import annotations

import functools

import numpy as np

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.corruptions.base import Conditions, corruption
from torchreid_adv.corruptions.exact import clipped

BRIGHTNESS = (1, 2, 3, 4, 5)  # tenths added to the value
CONTRAST = (40, 30, 20, 10, 5)  # hundredths that are left
SATURATE = ((3, 0), (1, 0), (20, 0), (50, 1), (200, 2))  # tenths: factor, and what is added


@corruption("brightness", family="weather", title="raise the value of hue, saturation and value")
def brightness(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the image with c added to V; red, green and blue grow by the same factor."""
    table = _brighter(how.pick(BRIGHTNESS))
    value = image.max(axis=2, keepdims=True).astype(np.int64)
    return table[value * (LEVELS + 1) + image]


@functools.cache
def _brighter(tenths: int) -> np.ndarray:
    """Return the new level of each (largest channel, channel), flat uint8."""
    value, level = np.indices((LEVELS + 1, LEVELS + 1))
    raised = np.minimum(10 * value + tenths * LEVELS, 10 * LEVELS)
    scaled = level * raised // np.maximum(10 * value, 1)
    scaled[0] = raised[0] // 10  # black has no hue: it becomes gray
    return clipped(scaled).reshape(-1)


@corruption("contrast", family="digital", title="bring all levels closer to the mean")
def contrast(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return (x - mean) c + mean, with the mean of each channel."""
    left, count = how.pick(CONTRAST), image.shape[0] * image.shape[1]
    levels, result = np.arange(LEVELS + 1, dtype=np.int64), np.empty_like(image)
    for channel in range(3):
        total = int(image[..., channel].sum(dtype=np.int64))
        closer = (left * (levels * count - total) + 100 * total) // (100 * count)
        result[..., channel] = clipped(closer)[image[..., channel]]
    return result


@corruption("saturate", family="digital", title="fade colors, or overdo them")
def saturate(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the image with a S + b in place of S.

    As in the published code, gray has the hue of red, so that b > 0 (severities 4 and 5) turns
    gray pixels reddish.
    """
    factor, added = how.pick(SATURATE)
    value = image.max(axis=2, keepdims=True).astype(np.int32)
    spread = value - image.min(axis=2, keepdims=True)
    chroma = np.minimum(factor * spread + added * value, 10 * value)  # tenths of the new spread
    below = value - image
    gray = spread == 0
    below = np.where(gray, np.array([0, 1, 1], np.int32), below)
    spread = np.where(gray, 1, spread)
    return clipped((10 * spread * value - below * chroma) // (10 * spread))
