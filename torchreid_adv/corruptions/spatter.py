"""Spatter: drops of water and of mud on the lens.

Parameters and steps are those of Michaelis et al. (2019). Departure: the layer that drops are cut
from has whole steps of 2^-14, and the distance to the drops' edges whole steps of 2^-16 pixel.
"""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.corruptions.base import Conditions, corruption
from torchreid_adv.corruptions.draws import UNIT
from torchreid_adv.corruptions.exact import ONE, Tiles, clipped, correlated, gaussian

LAYER = ((65, 30, 4), (65, 30, 3), (65, 30, 2), (65, 30, 1), (67, 40, 1))  # mean, deviation, sigma
THRESHOLD = (69, 68, 68, 65, 65)  # hundredths
WATER = (6, 6, 5)  # tenths of opacity, of severities 1 to 3
MUD_SIGMA = Fraction(3, 2)
TURQUOISE = (175, 238, 238)
MUD = (63, 42, 20)
_STEPS = 1 << 14  # of the layer
_COARSE = 1 << 7
_FARTHEST = 20  # pixels
_EMBOSS = Tiles.of(np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]), (-1, -1))


@corruption("spatter", family="weather", title="splash water, or mud, on the lens")
def spatter(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return the image with turquoise drops added (severities 1 to 3), or under mud (4 and 5)."""
    layer = _layer(image.shape[:2], how)
    if how.severity <= len(WATER):
        return _water(image, layer, how.pick((*WATER, 0, 0)))
    return _mud(image, layer, how)


def _layer(shape: tuple[int, ...], how: Conditions) -> np.ndarray:
    """Return the liquid (H, W), whole numbers of 2^-16 / :data:`_STEPS`, 0 where there is none."""
    mean, deviation, sigma = how.pick(LAYER)
    drawn = how.draws.normal(shape).astype(np.int64) * deviation + mean * UNIT
    high, low = np.divmod(drawn * _STEPS // (100 * UNIT), _COARSE)  # each small enough to be exact
    coarse, fine = (gaussian(part, how.pixels(sigma)).astype(np.int64) for part in (high, low))
    layer = coarse * _COARSE + fine
    layer[100 * layer < how.pick(THRESHOLD) * _STEPS * ONE] = 0
    return layer


def _water(image: np.ndarray, layer: np.ndarray, opacity: int) -> np.ndarray:
    liquid = clipped(layer * LEVELS // (_STEPS * ONE))
    mask = liquid.astype(np.int64) * _relief(liquid)
    brightest = int(mask.max())
    if not brightest:
        return image.copy()
    color = np.array(TURQUOISE, np.int64)
    return clipped(image + mask[..., None] * (opacity * color) // (10 * brightest))


def _relief(liquid: np.ndarray) -> np.ndarray:
    """Return how much light each place of the drops reflects, uint8, from its distance to an edge.

    A picture without any edge is as far from one as the published code makes it.
    """
    edges = LEVELS - cv2.Canny(liquid, 50, 150)
    far = cv2.distanceTransform(edges, cv2.DIST_L2, 5)
    fine = np.rint(np.minimum(far, _FARTHEST) * np.float32(ONE)).astype(np.int64)
    distance = cv2.equalizeHist(clipped(_box(fine) // (9 * ONE)))
    embossed = clipped(correlated(distance, _EMBOSS, cv2.BORDER_REFLECT_101))
    return cv2.blur(embossed, (3, 3))


def _box(values: np.ndarray) -> np.ndarray:
    """Return the sums of 3 x 3 neighbors, mirrored at the border."""
    rows, columns = (np.clip(_mirror(n), 0, n - 1) for n in values.shape)
    padded = values[rows][:, columns]
    high = padded[:-2] + padded[1:-1] + padded[2:]
    wide: np.ndarray = high[:, :-2] + high[:, 1:-1] + high[:, 2:]
    return wide


def _mirror(size: int) -> np.ndarray:
    return np.array([1, *range(size), size - 2])


def _mud(image: np.ndarray, layer: np.ndarray, how: Conditions) -> np.ndarray:
    mask = 100 * layer > how.pick(THRESHOLD) * _STEPS * ONE
    mud = gaussian(mask * np.uint8(LEVELS), how.pixels(MUD_SIGMA)).astype(np.int64)
    whole = LEVELS * ONE
    mud[10 * mud < 8 * whole] = 0
    mud = mud[..., None]
    return clipped((image * (whole - mud) + mud * np.array(MUD)) // whole)
