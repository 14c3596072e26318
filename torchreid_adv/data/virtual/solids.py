"""What people are made of: shaded solids swept along a line, textured around the body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# (angle around the body in [-pi, pi], 0 = front; place along the part in [0, 1]), both (h, w)
# -> RGB (3, h, w), or (3, 1, 1) where it is the same all over
Albedo = Callable[[np.ndarray, np.ndarray], np.ndarray]

SAMPLES = 40  # of every profile


@dataclass(frozen=True)
class Material:
    """What a part is made of: how it takes light, whatever its color.

    Args:
        name: e.g. ``cotton``; what an infrared renderer looks up reflectance and warmth by.
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
        material: what it is made of.
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
