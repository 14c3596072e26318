"""The solids that people consist of: swept along a line, textured around the body."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from torchreid_adv.data.virtual.view import Spot

# (angle around the body in [-pi, pi], 0 = front; place along the part in [0, 1]), both (h, w)
# -> RGB (3, h, w), or (3, 1, 1) for a single color
Albedo = Callable[[np.ndarray, np.ndarray], np.ndarray]

SAMPLES = 40  # samples of every profile


@dataclass(frozen=True)
class Material:
    """The material of a part: how it reflects light, independent of its color.

    Args:
        name: e.g. ``cotton``; the infrared renderer's key for reflectance and warmth.
        gloss: strength of the highlight.
        wrinkles: depth of folds.
    """

    name: str
    gloss: float = 0.0
    wrinkles: float = 0.0


@dataclass(frozen=True)
class Light:
    """Direction to the light (x right, y down, z to the camera; unit length) and its parts."""

    x: float
    y: float
    z: float
    ambient: float
    diffuse: float


@dataclass(slots=True)
class Part:
    """A solid of elliptic cross-section swept from ``start`` to ``end`` (canvas pixels).

    Args:
        start: x, y of one end.
        end: x, y of the other end.
        profile: half-widths in pixels at ``SAMPLES`` equal steps from start to end.
        depth: key of the painting order, larger is nearer.
        turn: viewing direction in radians (0 sees the front), for the texture angle.
        material: its material.
        albedo: one RGB color (3, 1, 1) in [0, 1], or a function of the surface coordinates.
        shift: sideways displacement of the middle line in pixels, same steps as ``profile``.
        dim: factor on its light; below 1 on the far side of the body.
        contact: darkness of the shadow it casts around itself on the parts below, [0, 1].
    """

    start: tuple[float, float]
    end: tuple[float, float]
    profile: np.ndarray
    depth: float
    turn: float
    material: Material
    albedo: np.ndarray | Albedo
    shift: np.ndarray | None = None
    dim: float = 1.0
    contact: float = 0.3


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

    The start bulges beyond its joint; with ``open_end`` the other end is cut straight.

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
    # rounded, so that most profiles come from the cache
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
