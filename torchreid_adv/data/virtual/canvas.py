"""The drawing surface: shaded solids swept along a line, textured around the body."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# (angle around the body in [-pi, pi], 0 = front; place along the part in [0, 1]), both (h, w)
# -> RGB (3, h, w), or (3, 1, 1) where it is the same all over
Albedo = Callable[[np.ndarray, np.ndarray], np.ndarray]

_HALO = 5.0  # reach of the contact shadow, in canvas pixels
_TURN = np.float32(2 * np.pi)
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


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
        profile: half-widths in pixels at equal steps from start to end.
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


class Canvas:
    """Float32 RGB planes (3, H, W) in [0, 1] with the mask (H, W) of what was painted on them.

    Planes, because numpy runs along the last axis: rows of pixels are faster than triples.
    """

    def __init__(self, image: np.ndarray, *, light: Light, folds: np.ndarray) -> None:
        """Take over ``image``; ``folds`` is a noise image (H, W) around 0."""
        self.image = image
        self.mask = np.zeros(image.shape[1:], np.float32)
        self.light = light
        self._folds = folds
        self._x = np.arange(image.shape[2], dtype=np.float32)
        self._y = np.arange(image.shape[1], dtype=np.float32)[:, None]

    def paint(self, part: Part) -> None:
        """Draw a part over what is there, with a contact shadow on the person's other parts."""
        window = self._window(part)
        if window is None:
            return
        rows, columns = window
        steps, across, radius = self._coordinates(part, rows, columns)
        inside = np.abs(across)
        np.subtract(radius, inside, out=inside)
        alpha = _clamped(inside + _HALF, _ONE)
        np.maximum(radius, _HALF, out=radius)
        u = np.divide(across, radius, out=across)
        image, mask = self.image[:, rows, columns], self.mask[rows, columns]
        keep = _ONE - alpha
        if part.contact:
            inside *= part.contact / _HALO
            inside += part.contact
            halo = _clamped(inside, part.contact)
            halo *= mask
            keep *= np.subtract(_ONE, halo, out=halo)
        image *= keep
        shade = self._shade(part, u, rows, columns)
        shade *= alpha
        image += _color(part, u, steps) * shade
        np.maximum(mask, alpha, out=mask)

    def _window(self, part: Part) -> tuple[slice, slice] | None:
        """Return the rows and columns a part can touch, or None when it is out of sight."""
        reach = max(part.profile.tolist()) + _HALO
        if part.shift is not None:
            reach += float(np.abs(part.shift).max())
        _, height, width = self.image.shape
        (x0, y0), (x1, y1) = part.start, part.end
        # a part ends at its ends, sideways it reaches as far as its direction lets it
        length = math.hypot(x1 - x0, y1 - y0) + 1e-3
        wide = reach * abs(y1 - y0) / length + 2
        tall = reach * abs(x1 - x0) / length + 2
        left, right = max(0, int(min(x0, x1) - wide)), min(width, int(max(x0, x1) + wide) + 1)
        top, bottom = max(0, int(min(y0, y1) - tall)), min(height, int(max(y0, y1) + tall) + 1)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def _coordinates(
        self, part: Part, rows: slice, columns: slice
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return per pixel: sample of the profile, distance from the axis, half-width there."""
        (x0, y0), (x1, y1) = part.start, part.end
        length = math.hypot(x1 - x0, y1 - y0) + 1e-3
        ex, ey = (x1 - x0) / length, (y1 - y0) / length
        pace = len(part.profile) / length
        gx, gy = self._x[columns] - x0, self._y[rows] - y0
        # sample 0 and the last are padding of negative width: nothing is drawn beyond the ends
        steps = (gx * (ex * pace) + 1.0) + gy * (ey * pace)
        across = gx * ey - gy * ex
        index = steps.astype(np.int32)
        if part.shift is not None:
            across -= _padded(part.shift, 0.0).take(index, mode="clip")
        return steps, across, _padded(part.profile, -_HALO).take(index, mode="clip")

    def _shade(self, part: Part, u: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        """Light a round surface: ambient, diffuse, a highlight and folds."""
        (x0, y0), (x1, y1) = part.start, part.end
        light = self.light
        sideways = ((y1 - y0) * light.x - (x1 - x0) * light.y) / math.hypot(x1 - x0, y1 - y0)
        facing = u * u
        np.subtract(_ONE, facing, out=facing)
        np.maximum(facing, _ZERO, out=facing)
        np.sqrt(facing, out=facing)
        facing *= light.z * light.diffuse * part.dim
        lit = u * (sideways * light.diffuse * part.dim)
        lit += facing
        shade = np.add(lit, light.ambient * part.dim, out=facing)
        if part.material.wrinkles:
            shade += part.material.wrinkles * self._folds[rows, columns]
        if part.material.gloss:
            shade += part.material.gloss * np.square(np.square(np.maximum(lit, _ZERO)))
        return shade


def _clamped(values: np.ndarray, high: float | np.float32) -> np.ndarray:
    """Clamp to [0, high], in place."""
    np.maximum(values, _ZERO, out=values)
    return np.minimum(values, high, out=values)


def _color(part: Part, u: np.ndarray, steps: np.ndarray) -> np.ndarray:
    if not callable(part.albedo):
        return part.albedo
    angle = np.arcsin(np.minimum(np.maximum(u, -_ONE), _ONE)) + np.float32(part.turn)
    angle -= _TURN * np.rint(angle / _TURN)
    return part.albedo(angle, (steps - _ONE) * (1 / len(part.profile)))


def _padded(values: np.ndarray, outside: float) -> np.ndarray:
    result = np.empty(len(values) + 2, np.float32)
    result[0] = result[-1] = outside
    result[1:-1] = values
    return result
