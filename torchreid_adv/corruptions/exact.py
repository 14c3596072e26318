"""Filters whose every intermediate value is a whole number that its type holds exactly.

Sums of whole numbers do not depend on their order, on fused multiplication or on the width of a
vector unit, as long as none of them is rounded: float64 holds them up to 2^53, float32 up to 2^24.
So OpenCV may work in floating point and yet give the same bytes everywhere. Weights come from
decimal arithmetic, which rounds correctly by definition.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import cv2
import numpy as np

from torchreid_adv.core.pixels import LEVELS

ONE = 1 << 16  # weights of a kernel that keeps the brightness sum to it
SIXTEENTH = 16
_SAME = np.ones(1, np.float32)
_DIRECT = 128  # OpenCV filters by Fourier transform, which rounds, where a kernel has more taps


def clipped(levels: np.ndarray) -> np.ndarray:
    """Return whole levels within 0 to 255 as uint8."""
    return np.clip(levels, 0, LEVELS).astype(np.uint8)


def whole_weights(weights: list[Decimal], total: int = ONE) -> np.ndarray:
    """Return whole weights (N,), int64, that sum to a total.

    What rounding leaves over goes to the first of the largest.
    """
    whole = sum(weights, Decimal(0))
    rounded = [int((w * total / whole).to_integral_value()) for w in weights]
    rounded[rounded.index(max(rounded))] += total - sum(rounded)
    return np.array(rounded, np.int64)


def bell(distance: int, sigma: Fraction) -> Decimal:
    """Return exp(-distance^2 / (2 sigma^2))."""
    exponent = Fraction(-distance * distance) / (2 * sigma * sigma)
    return (Decimal(exponent.numerator) / Decimal(exponent.denominator)).exp()


@functools.lru_cache(512)
def gaussian_weights(sigma: Fraction, truncate: int = 4, unit: int = ONE) -> np.ndarray:
    """Return the weights (2 r + 1,) of a Gaussian, cut off after r = ``truncate`` sigma."""
    radius = int(truncate * sigma + Fraction(1, 2))
    return whole_weights([bell(place, sigma) for place in range(-radius, radius + 1)], unit)


def smoothed(
    values: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    border: int = cv2.BORDER_REPLICATE,
) -> np.ndarray:
    """Return values filtered by a separable kernel, in units of 2^-16.

    Between the two passes values are rounded to sixteenths, so that the second one is exact, too.

    Args:
        values: whole numbers (H, W) or (H, W, 3), at most 255 apart from their sign.
        rows: weights that mix rows, odd in number, summing to 2^16.
        columns: weights that mix columns, odd in number, summing to 2^12.
        border: of OpenCV: the edge repeated, or the image mirrored.

    Returns:
        whole numbers, float32.
    """
    down, right = len(rows) // 2, len(columns) // 2
    padded = cv2.copyMakeBorder(values.astype(np.float32), down, down, right, right, border)
    first = _filtered(padded, rows[:, None])[down : len(padded) - down]
    sixteenths = np.rint(first * np.float32(SIXTEENTH / ONE))
    second = _filtered(sixteenths, columns[None])
    return second[:, right : second.shape[1] - right]


def _filtered(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return values filtered by a kernel of one row or column; both ways are exact."""
    weights = kernel.astype(np.float32)
    if weights.size <= _DIRECT:
        return cv2.filter2D(values, cv2.CV_32F, weights)
    across, down = (weights, _SAME) if len(weights) == 1 else (_SAME, weights)
    return cv2.sepFilter2D(values, cv2.CV_32F, across, down)


def gaussian(
    values: np.ndarray,
    sigma: Fraction,
    *,
    across: Fraction | None = None,
    truncate: int = 4,
    border: int = cv2.BORDER_REPLICATE,
) -> np.ndarray:
    """Return :func:`smoothed` of a Gaussian.

    Args:
        values: as there.
        sigma: in pixels.
        across: sigma along a row; None = the same.
        truncate: where the kernel ends, in sigma.
        border: as there.
    """
    rows = gaussian_weights(sigma, truncate)
    columns = gaussian_weights(sigma if across is None else across, truncate, ONE // SIXTEENTH)
    return smoothed(values, rows, columns, border)


def blurred(image: np.ndarray, sigma: Fraction) -> np.ndarray:
    """Return an image (H, W, 3) after a Gaussian of some pixels, levels truncated, uint8."""
    return (gaussian(image, sigma) * (1.0 / ONE)).astype(np.uint8)


@dataclass(frozen=True)
class Tiles:
    """A kernel, cut into pieces that OpenCV sums directly.

    Args:
        pieces: (first row, first column, weights (h, w) float32), relative to the pixel.
        reach: rows above and below, columns to the left and right of the pixel that are used.
    """

    pieces: tuple[tuple[int, int, np.ndarray], ...]
    reach: tuple[int, int, int, int]

    @classmethod
    def of(cls, kernel: np.ndarray, offset: tuple[int, int]) -> Tiles:
        """Return a kernel's tiles.

        Args:
            kernel: whole weights (h, w).
            offset: row and column of the first weight, relative to the pixel.
        """
        pieces = tuple(
            (offset[0] + row, offset[1] + column, tile) for row, column, tile in _cut(kernel)
        )
        rows = [row for row, _, _ in pieces] + [row + len(tile) - 1 for row, _, tile in pieces]
        columns = [c for _, c, _ in pieces] + [c + tile.shape[1] - 1 for _, c, tile in pieces]
        up, down = max(0, -min(rows)), max(0, *rows)
        left, right = max(0, -min(columns)), max(0, *columns)
        return cls(pieces, (up, down, left, right))


def _cut(kernel: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield pieces of at most :data:`_DIRECT` weights, without empty margins."""
    used = np.flatnonzero(kernel.any(axis=1)).tolist()
    spans = {row: np.flatnonzero(kernel[row])[[0, -1]].tolist() for row in used}
    while used:
        count, (first, last) = 1, spans[used[0]]
        for row in used[1:]:
            left, right = min(first, spans[row][0]), max(last, spans[row][1])
            if (row - used[0] + 1) * (right - left + 1) > _DIRECT:
                break
            count, first, last = count + 1, left, right
        top, rows = used[0], used[count - 1] - used[0] + 1
        for column in range(first, last + 1, _DIRECT // rows):
            end = min(column + _DIRECT // rows, last + 1)
            yield top, column, kernel[top : top + rows, column:end].astype(np.float32)
        used = used[count:]


def correlated(values: np.ndarray, tiles: Tiles, border: int) -> np.ndarray:
    """Return sums of neighbors, weighted by a kernel of any size.

    Args:
        values: whole numbers (H, W) or (H, W, 3); times the sum of weights below 2^24.
        tiles: of the kernel.
        border: of OpenCV.

    Returns:
        whole numbers in float32, in a new array.
    """
    height, width = values.shape[:2]
    up, _, left, _ = tiles.reach
    padded = cv2.copyMakeBorder(values, *tiles.reach, border).astype(np.float32)
    total: np.ndarray | None = None
    for row, column, tile in tiles.pieces:
        down, across = up + row, left + column
        part = padded[down : down + height + len(tile) - 1]
        part = part[:, across : across + width + tile.shape[1] - 1]
        filtered = cv2.filter2D(
            part, cv2.CV_32F, tile, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT
        )
        filtered = filtered[:height, :width]
        total = filtered if total is None else cv2.add(total, filtered)
    assert total is not None  # a kernel has a weight
    return total
