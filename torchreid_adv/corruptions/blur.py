"""Blur: Gaussian, glass, defocus, motion and zoom blur.

Parameters are those of Michaelis et al. (2019), after Hendrycks and Dietterich (ICLR 2019).
"""

from __future__ import annotations

import functools
from fractions import Fraction

import cv2
import numpy as np

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.corruptions.base import Conditions, corruption
from torchreid_adv.corruptions.draws import Draws
from torchreid_adv.corruptions.exact import Tiles, bell, blurred, clipped, correlated, whole_weights
from torchreid_adv.corruptions.motion import ANGLES, motion_blurred
from torchreid_adv.corruptions.zoom import zoom_mean

GAUSSIAN = (1, 2, 3, 4, 6)  # sigma, pixels
GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))  # sigma, reach, sweeps
DEFOCUS = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))  # radius, sigma of its edge
MOTION = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))  # radius, sigma
ZOOM = ((12, 1), (16, 1), (11, 2), (13, 2), (11, 3))  # layers, hundredths from one to the next
_SMALL_DISK = 8
_WEIGHTS = 1 << 15  # of a disk


@corruption("gaussian_blur", family="blur", title="blur by a Gaussian")
def gaussian_blur(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return G(c)."""
    return blurred(image, how.pixels(how.pick(GAUSSIAN)))


@corruption("glass_blur", family="blur", title="scatter pixels, as frosted glass does")
def glass_blur(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return G(s) of n sweeps, in which pixels of G(s) copy neighbors at most d away.

    The published code means to swap two pixels and copies one: so does this.
    """
    published, reach, sweeps = how.pick(GLASS)
    sigma, reach = how.pixels(published), how.whole_pixels(int(reach))
    scattered = blurred(image, sigma)
    for _ in range(int(sweeps)):
        scattered = _sweep(scattered, reach, how.draws)
    return blurred(scattered, sigma)


def _sweep(image: np.ndarray, reach: int, draws: Draws) -> np.ndarray:
    """Let each pixel copy a neighbor, from the last row and column to the first.

    A pixel that copies one that has copied before gets what that one has. So copies form chains,
    which are followed in steps that double.
    """
    height, width = image.shape[:2]
    rows = np.arange(height - reach, reach, -1)
    columns = np.arange(width - reach, reach, -1)
    if not (len(rows) and len(columns)):
        return image
    moves = (
        (draws.words((len(rows), len(columns), 2)).astype(np.int32) * (2 * reach)) >> 16
    ) - reach
    place = (rows[:, None] * width + columns).astype(np.int32)
    row, column = rows[:, None] + moves[..., 1], columns + moves[..., 0]
    source = row.astype(np.int32) * width + column.astype(np.int32)
    copied = (row > reach) & (row <= height - reach) & (column > reach) & (column <= width - reach)
    count = height * width
    taken = np.arange(count, 2 * count, dtype=np.int32)  # count + p: what pixel p had before
    taken[place] = np.where(copied & (source > place), source, source + count)
    left = np.flatnonzero(taken < count)
    while len(left):
        taken[left] = taken[taken[left]]
        left = left[taken[left] < count]
    return np.take(image.reshape(count, 3), taken - count, axis=0).reshape(image.shape)


@corruption("defocus_blur", family="blur", title="blur by a disk, as a lens out of focus does")
def defocus_blur(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the correlation with a disk of radius r whose edge is smoothed by a Gaussian.

    As in the published code the smoothing is mirrored at the kernel's border, so that disks that
    reach it (r = 8 and 10) brighten the image by about one percent.
    """
    radius, edge = how.pick(DEFOCUS)
    disk = _disk(how.whole_pixels(radius), Fraction(str(edge)))
    summed = correlated(image, disk, cv2.BORDER_REFLECT_101)
    return clipped(summed * np.float32(1.0 / _WEIGHTS))


@functools.cache
def _disk(radius: int, edge: Fraction) -> Tiles:
    """Return the weights of a disk: a grid of 17 x 17, or as large as a larger disk."""
    half = max(radius, _SMALL_DISK)
    grid = np.arange(-half, half + 1)
    disk = (grid[:, None] ** 2 + grid**2 <= radius * radius).astype(np.int64)
    reach = 1 if radius <= _SMALL_DISK else 2
    bells = [bell(place, edge) for place in range(-reach, reach + 1)]
    weights = whole_weights(bells, 1 << 20)  # exact enough for any kernel
    padded = np.pad(disk, reach, "reflect")
    size = len(disk)
    wide = sum(w * padded[:, i : i + size] for i, w in enumerate(weights.tolist()))
    smooth = sum(w * wide[i : i + size] for i, w in enumerate(weights.tolist()))
    area = int(disk.sum()) << 40
    shares = [2 * _WEIGHTS * total // area + 1 for total in np.cumsum(smooth).tolist()]
    kernel = np.diff(np.array(shares, np.int64) // 2, prepend=0)
    return Tiles.of(kernel.reshape(smooth.shape), (-half, -half))


@corruption("motion_blur", family="blur", title="blur along a line, as a moving camera does")
def motion_blur(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return a one-sided Gaussian of 2 r + 1 taps along U(-45, 45) degrees, in whole pixels.

    As in the published code the motion ends at the border of the image, so that images narrower
    than the motion get darker.
    """
    radius, sigma = how.pick(MOTION)
    angle = how.draws.integer(ANGLES) - ANGLES // 2
    moved = motion_blurred(image, how.whole_pixels(radius), how.pixels(sigma), angle)
    return moved.astype(np.uint8)


@corruption("zoom_blur", family="blur", title="average zooms, as a camera moving forward does")
def zoom_blur(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the mean of the image and of linear zooms of its center."""
    return zoom_mean(image, _factors(*how.pick(ZOOM)), LEVELS)


@functools.cache
def _factors(layers: int, hundredths: int) -> tuple[float, ...]:
    """Return the factors as the published code adds them up in floating point.

    The tenth step of .03 is a little above 1.3 there, which rounds some sizes up.
    """
    step = (1 + hundredths / 100) - 1
    return tuple(1 + layer * step for layer in range(layers))
