"""Profiles of parts: half-widths at equal steps along a limb, a ball, a drawn curve."""

from __future__ import annotations

import functools
import math

import numpy as np

from torchreid_adv.data.virtual.solids import SAMPLES
from torchreid_adv.data.virtual.view import Spot

_PLACES = np.linspace(0.0, 1.0, SAMPLES, dtype=np.float32)


def limb(
    start: Spot,
    end: Spot,
    first: float,
    last: float,
    *,
    bulge: float = 0.0,
    open_end: bool = False,
) -> tuple[Spot, Spot, np.ndarray]:
    """Return start, end and profile of a tapering limb with round ends beyond its joints.

    The start bulges over the joint before it; with ``open_end`` the other end is cut straight.

    Args:
        start: joint, canvas pixels.
        end: next joint.
        first: half-width at the start in pixels.
        last: half-width at the end.
        bulge: added half-width a third of the way down (calf, forearm), as a factor of ``first``.
        open_end: end at the last joint, as a sleeve does.
    """
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy) + 1e-3
    beyond = 0.0 if open_end else last
    before, after = first / length, beyond / length
    # rounded, so that the profile is looked up instead of computed for most limbs
    shape = round(8 * length / first) / 8, round(32 * last / first) / 32
    return (
        (start[0] - dx * before, start[1] - dy * before),
        (end[0] + dx * after, end[1] + dy * after),
        first * _tube(*shape, bulge, open_end),
    )


@functools.lru_cache(maxsize=4096)
def _tube(length: float, last: float, bulge: float, open_end: bool) -> np.ndarray:
    """Return the profile of a limb whose first half-width is 1."""
    length = max(length, 0.125)
    place = _PLACES * (length + 1.0 + (0.0 if open_end else last)) - 1.0
    t = np.clip(place / length, 0.0, 1.0)
    profile = 1.0 + (last - 1.0) * t + bulge * np.maximum(0.0, np.sin(t * 4.0))
    over = np.maximum(np.maximum(-place, (place - length) / last), 0.0)
    return np.asarray(profile * np.sqrt(np.maximum(1.0 - over * over, 0.0)))


@functools.lru_cache(maxsize=16)
def ellipsoid(shape: float = 2.0) -> np.ndarray:
    """Return the profile, of maximum 1, of a ball (2) or a rounded box (more)."""
    return np.asarray((1.0 - np.abs(2 * _PLACES - 1) ** shape) ** (1 / shape) + 0.01)


def curve(points: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Return a smooth profile through (place in [0, 1], half-width) points."""
    places, widths = zip(*points, strict=True)
    rough = np.interp(_PLACES, places, widths)
    smooth = np.convolve(np.pad(rough, 2, mode="edge"), [0.1, 0.2, 0.4, 0.2, 0.1], mode="valid")
    return np.asarray(smooth)
