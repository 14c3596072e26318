"""Frost: drawn ice in place of photographs.

The published kind adds a crop of one of five photographs of frozen windows. Their origin is not
stated, so that this package has none: it draws ferns of ice, haze and grain, whose mean and
deviation are drawn from those five pictures' own. Its results are not those of the photographs.
"""

from __future__ import annotations

import cv2
import numpy as np

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.corruptions.base import Conditions, corruption
from torchreid_adv.corruptions.draws import Draws
from torchreid_adv.corruptions.exact import clipped
from torchreid_adv.corruptions.motion import ANGLES, sine

FROST = ((100, 40), (80, 60), (70, 70), (65, 70), (60, 75))  # hundredths of image and of frost
PICTURES = ((131, 12), (205, 16), (205, 16), (152, 24), (116, 33))  # mean and deviation of each
TINTS = ((152, 291, 324), *4 * ((246, 256, 266),))  # 256 = gray; the first picture is cyan
_DIRECTIONS = 24
_TWIG = 3  # a side needle has a third of the length


@corruption("frost", family="weather", title="lay drawn ice over the image (frost (drawn))")
def frost(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return a x + b ice."""
    left, added = how.pick(FROST)
    ice = drawn_ice(image.shape[:2], how.draws).astype(np.int32)
    return clipped((left * image.astype(np.int32) + added * ice) // 100)


def drawn_ice(shape: tuple[int, ...], draws: Draws) -> np.ndarray:
    """Return a picture of ice (H, W, 3), uint8."""
    picture = draws.integer(len(PICTURES))
    (mean, deviation), tint = PICTURES[picture], np.array(TINTS[picture])
    texture = 4 * _ferns(shape, draws).astype(np.int64) + 2 * _haze(shape, draws)
    texture += draws.words(shape, 8) // 2
    return clipped(_leveled(texture, mean, deviation)[..., None] * tint // 256)


def _leveled(texture: np.ndarray, mean: int, deviation: int) -> np.ndarray:
    """Return whole numbers with another mean and mean absolute deviation (.8 of the standard)."""
    centered = texture * texture.size - int(texture.sum())
    spread = int(abs(centered).sum()) // texture.size or 1
    return mean + centered * (4 * deviation) // (5 * spread)


def _haze(shape: tuple[int, ...], draws: Draws) -> np.ndarray:
    """Return smooth clouds, int64 levels."""
    wide = 2 * max(1, shape[0] // 10) + 1
    soft = cv2.blur(cv2.blur(draws.words(shape, 8), (wide, wide)), (wide, wide)).astype(np.int64)
    low, high = int(soft.min()), int(soft.max())
    return (soft - low) * LEVELS // max(high - low, 1)


def _ferns(shape: tuple[int, ...], draws: Draws) -> np.ndarray:
    """Return needles of ice with side needles at 60 degrees, uint8 levels, slightly soft."""
    height, width = shape
    count = max(3, height * width // 200)
    starts = np.stack([draws.integers(height, (count,)), draws.integers(width, (count,))], axis=1)
    turns = draws.integers(_DIRECTIONS, (count,)) * (4 * ANGLES // _DIRECTIONS)
    lengths = 4 + draws.integers(max(2, height // 6), (count,))
    lights = 60 + draws.integers(LEVELS - 94, (count,))
    canvas = np.zeros(shape, np.uint8)
    for start, turn, length, light in zip(starts, turns, lengths, lights, strict=True):
        _fern(canvas, start, int(turn), int(length), int(light))
    return cv2.blur(canvas, (3, 3))


def _fern(canvas: np.ndarray, start: np.ndarray, turn: int, length: int, light: int) -> None:
    tip = _needle(canvas, start, turn, length, light)
    for part in range(1, _TWIG):
        joint = start + (tip - start) * part // _TWIG
        for side in (-1, 1):
            twig = turn + side * (2 * ANGLES // 3)
            _needle(canvas, joint, twig, length // _TWIG, light * 2 // 3)


def _needle(
    canvas: np.ndarray, start: np.ndarray, turn: int, length: int, light: int
) -> np.ndarray:
    """Draw a line and return its end (row, column)."""
    step = np.array([sine(turn), sine(turn + ANGLES)])
    end = start + (length * step >> 30)
    cv2.line(canvas, (int(start[1]), int(start[0])), (int(end[1]), int(end[0])), light, 1)
    return end
