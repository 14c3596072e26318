"""Patterns of cloth, as functions of the position on the body."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from torchreid_adv.data.virtual.clothes import RGB, Cloth
from torchreid_adv.data.virtual.solids import Albedo


@dataclass(frozen=True)
class Place:
    """Positions on a part, as arrays of equal shape.

    Args:
        angle: angle around the body in radians, 0 = front, in [-pi, pi).
        along: place along the part in [0, 1].
        width: length around the body from the front, in hundredths of the standing height.
        height: length along the part, in the same unit.
    """

    angle: np.ndarray
    along: np.ndarray
    width: np.ndarray
    height: np.ndarray


# (places, size of the pattern) -> share of the second color in [0, 1]
Pattern = Callable[[Place, float], np.ndarray]


def _fraction(value: np.ndarray) -> np.ndarray:
    return np.asarray(value - np.floor(value))  # several times faster than value % 1


def _stripes(at: Place, size: float) -> np.ndarray:
    return np.asarray(_fraction(at.height / size) < 0.45)


def _thin_stripes(at: Place, size: float) -> np.ndarray:
    return np.asarray(_fraction(at.height / (0.8 * size)) < 0.28)


def _vertical(at: Place, size: float) -> np.ndarray:
    return np.asarray(_fraction(at.width / (0.8 * size)) < 0.35)


def _checks(at: Place, size: float) -> np.ndarray:
    return 0.5 * (_fraction(at.width / size) < 0.45) + 0.5 * (_fraction(at.height / size) < 0.45)


def _dots(at: Place, size: float) -> np.ndarray:
    row = at.height / size
    x = _fraction(at.width / size + _fraction(0.5 * np.floor(row))) - 0.5
    return np.asarray(x * x + (_fraction(row) - 0.5) ** 2 < 0.075)


def _print(at: Place, size: float) -> np.ndarray:
    high = np.abs(at.along - 0.4) < 0.014 * size
    return high & (np.abs(at.angle) < 0.09 * size)


def _round_print(at: Place, size: float) -> np.ndarray:
    distance = (at.angle / (0.1 * size)) ** 2 + ((at.along - 0.4) / (0.018 * size)) ** 2
    return np.asarray((distance < 1.0) & ((distance > 0.45) | (distance < 0.15)))


def _two_tone(at: Place, size: float) -> np.ndarray:
    return np.asarray(at.along < 0.22 + 0.03 * size)


def _band(at: Place, size: float) -> np.ndarray:
    return np.abs(at.along - 0.42) < 0.014 * size


def _sides(at: Place, size: float) -> np.ndarray:
    return np.abs(np.cos(at.angle)) < 0.25 + 0.02 * size


def _camouflage(at: Place, size: float) -> np.ndarray:
    x, y = at.width * (5 / size), at.height * (5 / size)
    wave = np.sin(x * 0.9 + 1.3 * np.sin(y * 0.5)) + np.sin(y * 0.8 + 1.7 * np.sin(x * 0.45 + 1))
    return np.asarray(wave > 0.25)


def _quilt(at: Place, size: float) -> np.ndarray:
    return np.abs(np.sin(at.height * (np.pi / size))) ** 0.5 < 0.5


PATTERNS: dict[str, Pattern] = {
    "stripes": _stripes,
    "thin_stripes": _thin_stripes,
    "vertical": _vertical,
    "checks": _checks,
    "dots": _dots,
    "print": _print,
    "round_print": _round_print,
    "two_tone": _two_tone,
    "band": _band,
    "sides": _sides,
    "camouflage": _camouflage,
    "quilt": _quilt,
}


def weave(cloth: Cloth, *, length: float, radius: float) -> np.ndarray | Albedo:
    """Return the albedo of a part covered with one cloth.

    Args:
        cloth: the cloth.
        length: length of the part, in standing heights.
        radius: its radius, in standing heights.
    """
    color = planes(cloth.color)
    if cloth.pattern == "plain":
        return color
    pattern, second = PATTERNS[cloth.pattern], planes(cloth.second)

    def albedo(angle: np.ndarray, place: np.ndarray) -> np.ndarray:
        at = Place(angle, place, angle * (radius * 100), place * (length * 100))
        return mix(color, second, pattern(at, cloth.scale))

    return albedo


def mix(color: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Blend RGB planes (3, h, w) or a color (3, 1, 1) with a second one by its share (h, w).

    A share of booleans chooses between the two, which is faster.
    """
    if share.dtype == bool:
        return np.where(share, second, color)
    return np.asarray(color + share.astype(np.float32) * (second - color))


@functools.lru_cache(maxsize=4096)
def planes(color: RGB) -> np.ndarray:
    """Return a color as float32 planes (3, 1, 1), shared and read-only."""
    shared = np.asarray(color, np.float32)[:, None, None]
    shared.flags.writeable = False
    return shared


def evaluate(albedo: np.ndarray | Albedo, angle: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return the colors of an albedo (a function or a single color) at surface positions."""
    return albedo(angle, place) if callable(albedo) else albedo
