"""Motion along a line in whole pixels, which motion blur and snow share."""

from __future__ import annotations

import functools
from decimal import Decimal
from fractions import Fraction

import cv2
import numpy as np

from torchreid_adv.corruptions.exact import ONE, Tiles, bell, correlated, whole_weights

ANGLES = 256  # steps of a quarter turn
_FINE = 1 << 30
_HALF_PI = Decimal("1.5707963267948966192313216916397514420985846996876")


def motion_blurred(
    values: np.ndarray, radius: int, sigma: Fraction, angle: int, unit: int = ONE
) -> np.ndarray:
    """Return values blurred along a line, float32.

    Args:
        values: whole numbers (H, W) or (H, W, 3); times ``unit`` below 2^24.
        radius: half the number of taps, without the first.
        sigma: of the one-sided Gaussian, pixels.
        angle: of the line, in 1 / :data:`ANGLES` of a quarter turn.
        unit: sum of the weights.
    """
    height, width = (min(side, 2 * radius + 1) for side in values.shape[:2])
    tiles = _tiles(radius, sigma, angle, height, width, unit)
    moved = correlated(values, tiles, cv2.BORDER_REPLICATE)
    moved *= np.float32(1.0 / unit)
    return moved


@functools.lru_cache(4096)
def _tiles(radius: int, sigma: Fraction, angle: int, height: int, width: int, unit: int) -> Tiles:
    """Return the weights along a line that ends where it leaves an image."""
    weights = motion_weights(radius, sigma, unit)
    rows, columns = line(len(weights), angle)
    outside = np.flatnonzero((abs(rows) >= height) | (abs(columns) >= width))
    count = int(outside[0]) if len(outside) else len(weights)
    rows, columns, weights = rows[:count], columns[:count], weights[:count]
    top, left = int(rows.min()), int(columns.min())
    kernel = np.zeros((int(rows.max()) - top + 1, int(columns.max()) - left + 1), np.int64)
    np.add.at(kernel, (rows - top, columns - left), weights)
    return Tiles.of(kernel, (top, left))


@functools.lru_cache(512)
def motion_weights(radius: int, sigma: Fraction, unit: int = ONE) -> np.ndarray:
    """Return the weights (2 r + 1,) of a one-sided Gaussian."""
    return whole_weights([bell(place, sigma) for place in range(2 * radius + 1)], unit)


def line(count: int, angle: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns (count,) of the pixels on a line, from 0, 0 on.

    Args:
        count: of pixels.
        angle: in 1 / :data:`ANGLES` of a quarter turn, from -2 to 1 quarter turns.
    """
    places = np.arange(count, dtype=np.int64)
    rows = -((_FINE - 2 * places * sine(angle)) // (2 * _FINE))
    columns = -((_FINE - 2 * places * sine(angle + ANGLES)) // (2 * _FINE))
    return rows, columns


@functools.cache
def sine(angle: int) -> int:
    """Return the sine of an angle, in 1 / :data:`ANGLES` of a quarter turn, in units of 2^-30."""
    turn = angle % (4 * ANGLES)
    quarter, within = divmod(turn, ANGLES)
    x = _HALF_PI * (ANGLES - within if quarter % 2 else within) / ANGLES
    term, total, power = x, x, 1
    while abs(term) > Decimal("1e-20"):
        term = -term * x * x / ((power + 1) * (power + 2))
        total, power = total + term, power + 2
    return int((total * _FINE).to_integral_value()) * (-1 if quarter > 1 else 1)
