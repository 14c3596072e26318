"""Weather: fog, snow and rain.

Fog and snow follow Michaelis et al. (2019), after Hendrycks and Dietterich (ICLR 2019), rain the
twentieth kind of Chen et al. (NeurIPS Datasets and Benchmarks 2021), which is albumentations' rain.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import cv2
import numpy as np

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.corruptions.base import CIL, Conditions, corruption
from torchreid_adv.corruptions.draws import UNIT, Draws
from torchreid_adv.corruptions.exact import clipped
from torchreid_adv.corruptions.motion import ANGLES, motion_blurred
from torchreid_adv.corruptions.resampling import cubic, resampled
from torchreid_adv.corruptions.zoom import zoomed_layer

FOG = ((15, "2"), (20, "2"), (25, "1.7"), (25, "1.5"), (30, "1.4"))  # tenths of strength, decay
SNOW = (  # hundredths: mean, deviation; zoom; hundredths: threshold; radius, sigma; hundredths left
    (10, 30, 3.0, 50, 10, 4, 80),
    (20, 30, 2.0, 50, 12, 4, 70),
    (55, 30, 4.0, 90, 12, 8, 70),
    (55, 30, 4.5, 85, 12, 8, 65),
    (55, 30, 2.5, 85, 12, 12, 55),
)
RAIN = ((770, 10), (600, 30), (600, 30), (500, 60), (500, 60))  # pixels a drop, its length
_DROP = (200, 200, 200)
_SLANT = 10
_LOWEST = 61  # height that drops of 60 pixels need
_RAISED = 65  # height that a lower image gets for the rain
_WHITE = LEVELS * 16  # snow is drawn in sixteenths of a level


@corruption("fog", family="weather", title="lay a drawn fog over the image")
def fog(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return (x + c P) max(x) / (max(x) + c), P a diamond-square map scaled to [0, 1]."""
    strength, decay = how.pick(FOG)
    height, width = image.shape[:2]
    plasma = diamond_square(max(2, height, width), Fraction(decay), how.draws)
    low, high = int(plasma.min()), int(plasma.max())
    shown = plasma[:height, :width].astype(np.int64) - low
    added = shown * (strength * LEVELS << 16) // max(high - low, 1)
    brightest = int(image.max())
    mixed = (image.astype(np.int64) * (10 << 16) + added[..., None]) * brightest
    whole = (10 * brightest + strength * LEVELS) << 16
    return clipped(mixed // whole)


def diamond_square(size: int, decay: Fraction, draws: Draws) -> np.ndarray:
    """Return a map of heights, int32, of the power of two that is not below ``size``.

    As in the published code the step of a level is multiplied by itself, so that it falls with the
    square of the decay.
    """
    side = 1 << (size - 1).bit_length()
    plasma = np.zeros((side, side), np.int32)
    step, wobble = side, Fraction(100)
    while step >= 2:
        half, reach = step // 2, int(wobble * wobble * UNIT)
        corners = plasma[::step, ::step]
        square = corners + np.roll(corners, -1, axis=0)
        square += np.roll(square, -1, axis=1)
        plasma[half::step, half::step] = _wobbled(square, reach, draws)
        middles, corners = plasma[half::step, half::step], plasma[::step, ::step]
        across = middles + np.roll(middles, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
        plasma[::step, half::step] = _wobbled(across, reach, draws)
        along = middles + np.roll(middles, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
        plasma[half::step, ::step] = _wobbled(along, reach, draws)
        step, wobble = half, wobble / decay
    return plasma


def _wobbled(sums: np.ndarray, reach: int, draws: Draws) -> np.ndarray:
    steps = (draws.centered(sums.shape).astype(np.int64) * reach) >> 16
    return (sums >> 2) + steps.astype(np.int32)


@corruption("snow", family="weather", title="let drawn flakes fall, and whiten the image")
def snow(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return b x + (1 - b) max(x, 1.5 gray + .5), plus flakes and the flakes turned by 180."""
    left = how.pick(SNOW)[-1]
    flakes = _flakes(image.shape[:2], how)[..., None].astype(np.int32)
    x = image.astype(np.int32)
    gray = x @ np.array([299, 587, 114], np.int32)
    whitened = np.maximum(2000 * x, (3 * gray + 1000 * LEVELS)[..., None])
    mixed = (2000 * left * x + (100 - left) * whitened) // 200000
    return clipped(mixed + flakes + flakes[::-1, ::-1])


def _flakes(shape: tuple[int, ...], how: Conditions) -> np.ndarray:
    """Return the layer of flakes (H, W), levels as float32 whole numbers."""
    mean, deviation, zoom, threshold, radius, sigma, _ = how.pick(SNOW)
    drawn = how.draws.normal(shape).astype(np.int64)
    layer = zoomed_layer(drawn * deviation + mean * UNIT, zoom)
    layer[layer < threshold * UNIT] = 0
    shown = np.clip(layer * _WHITE // (100 * UNIT), 0, _WHITE).astype(np.float32)
    angle = how.draws.integer(ANGLES) - ANGLES - ANGLES // 2
    moved = motion_blurred(shown, how.whole_pixels(radius), how.pixels(sigma), angle, unit=UNIT)
    return np.rint(moved * np.float32(1 / 16))[: shape[0], : shape[1]]


@corruption("rain", family="weather", title="draw streaks of rain, and darken", paper=CIL)
def rain(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the image with slanted lines, a box blur, and less light.

    Departures: no conversion to hue and lightness and back, which in the published code changes
    levels by rounding alone; an image of 60 rows or fewer is made 65 rows high for the drops, as
    there, but then gets its size back.
    """
    height, width = image.shape[:2]
    if height < _LOWEST:
        larger = _RAISED, max(1, width * _RAISED // height)
        return resampled(_rained(resampled(image, larger, cubic), how), (height, width), cubic)
    return _rained(image, how)


def _rained(image: np.ndarray, how: Conditions) -> np.ndarray:
    height, width = image.shape[:2]
    area, length = how.pick(RAIN)
    length = min(how.whole_pixels(length), height - 1)
    slant = _slant(how.draws, width)
    count = height * width // area
    first, last = (slant, width) if slant < 0 else (0, width - slant)
    columns = first + how.draws.integers(last - first + 1, (count,))
    rows = how.draws.integers(height - length + 1, (count,))
    wet = image.copy()
    for x, y in zip(columns.tolist(), rows.tolist(), strict=True):
        cv2.line(wet, (x, y), (x + slant, y + length), _DROP, 1)
    wide = 2 + how.severity
    return _darker(how.severity)[cv2.blur(wet, (wide, wide))]


def _slant(draws: Draws, width: int) -> int:
    """Return U(-10, 10) truncated to whole pixels, so that 0 is twice as likely, and fits."""
    slant = draws.integer(2 * _SLANT * 256) - _SLANT * 256
    whole = abs(slant) // 256 * (1 if slant > 0 else -1)
    return max(-width, min(width, whole))


@functools.cache
def _darker(severity: int) -> np.ndarray:
    levels = np.arange(LEVELS + 1)
    return clipped((20 * levels - LEVELS * (1 + severity)) // 20)
