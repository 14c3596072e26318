"""The position and lighting of the parts of a figure, and the canvas they are painted on.

A part covers a few hundred pixels; for so few, the call of an array operation costs more than the
operation. So the windows of all parts are concatenated in flat arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from torchreid_adv.data.virtual.solids import SAMPLES, Light, Part

HALO = 4.0  # reach of the contact shadow, in canvas pixels
_TURN = np.float32(2 * np.pi)
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


@dataclass(slots=True)
class Surface:
    """A part in its window of the canvas; the arrays are (h, w).

    Args:
        part: the part.
        window: rows and columns of the canvas.
        u: position across it, -1 at one edge and 1 at the other.
        steps: position along it in samples of its profile, the first at 1.
        alpha: share of a pixel that it covers, [0, 1].
        keep: 1 - alpha.
        near: ``keep`` where it touches, falling to 0 where its contact shadow ends.
        shade: factor on its color, times alpha.
    """

    part: Part
    window: tuple[slice, slice]
    u: np.ndarray
    steps: np.ndarray
    alpha: np.ndarray
    keep: np.ndarray
    near: np.ndarray
    shade: np.ndarray

    def color(self) -> np.ndarray:
        """Return its unlit color: RGB planes (3, h, w) or (3, 1, 1)."""
        if not callable(self.part.albedo):
            return self.part.albedo
        angle = np.arcsin(np.minimum(np.maximum(self.u, -_ONE), _ONE))
        angle += np.float32(self.part.turn)
        angle -= _TURN * np.rint(angle / _TURN)
        return self.part.albedo(angle, (self.steps - _ONE) * (1 / SAMPLES))


def sweep(
    parts: Sequence[Part], light: Light, folds: np.ndarray, size: tuple[int, int]
) -> Iterator[Surface]:
    """Yield the surfaces of the visible parts, in the given order.

    Args:
        parts: parts to draw.
        light: the light on them.
        folds: a noise image (H, W) around 0 that creases wrinkled materials.
        size: height and width of the canvas.
    """
    if not parts:
        return
    axes = _Axes(parts)
    spans = _spans(axes.windows(size))
    flat = np.empty((6, spans[-1].flat.stop if spans else 0), np.float32)
    u, _, alpha, keep, near, shade = flat
    radius = axes.coordinates(spans, size, flat[:2])
    np.subtract(radius, np.abs(u), out=near)
    _clamped(np.add(near, _HALF, out=alpha))
    np.subtract(_ONE, alpha, out=keep)
    near *= np.float32(1 / HALO)
    _clamped(np.add(near, _ONE, out=near))
    near *= keep
    u /= np.maximum(radius, _HALF, out=radius)
    np.multiply(_shade(u, parts, spans, axes, light, folds), alpha, out=shade)
    for span in spans:
        yield Surface(parts[span.part], span.window, *span.of(flat))


@dataclass(frozen=True, slots=True)
class _Span:
    """The position of a part's window in the flat arrays."""

    part: int
    window: tuple[slice, slice]
    flat: slice
    shape: tuple[int, int]

    def of(self, values: np.ndarray) -> np.ndarray:
        return values[..., self.flat].reshape(*values.shape[:-1], *self.shape)


def _spans(windows: list[list[int]]) -> list[_Span]:
    spans, start = [], 0
    for part, (top, bottom, left, right) in enumerate(windows):
        if top < bottom and left < right:
            shape = bottom - top, right - left
            stop = start + shape[0] * shape[1]
            window = slice(top, bottom), slice(left, right)
            spans.append(_Span(part, window, slice(start, stop), shape))
            start = stop
    return spans


class _Axes:
    """The middle lines of parts, and their extent to the sides."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        self.ends = np.array([(*part.start, *part.end) for part in parts])
        direction = self.ends[:, 2:] - self.ends[:, :2]
        self.length = np.hypot(direction[:, 0], direction[:, 1]) + 1e-3
        self.right, self.down = (direction / self.length[:, None]).T
        # the first sample and the last are padding: nothing is drawn beyond the ends
        self.profiles = np.full((len(parts), SAMPLES + 2), -HALO, np.float32)
        self.profiles[:, 1:-1] = [part.profile for part in parts]

    def windows(self, size: tuple[int, int]) -> list[list[int]]:
        """Return top, bottom, left and right (both exclusive) of the area of each part."""
        margins = [HALO if part.contact else 1.0 for part in self.parts]
        shifts = [0.0 if p.shift is None else float(np.abs(p.shift).max()) for p in self.parts]
        reach = self.profiles.max(axis=1) + margins + shifts
        # the extent to the sides depends on the direction of the part
        wide, tall = reach * np.abs(self.down) + 2, reach * np.abs(self.right) + 2
        x, y = np.sort(self.ends[:, ::2]), np.sort(self.ends[:, 1::2])
        edges = [y[:, 0] - tall, y[:, 1] + tall + 1, x[:, 0] - wide, x[:, 1] + wide + 1]
        limits = np.array([size[0], size[0], size[1], size[1]])
        return np.clip(np.column_stack(edges), 0, limits).astype(int).tolist()

    def coordinates(
        self, spans: list[_Span], size: tuple[int, int], places: np.ndarray
    ) -> np.ndarray:
        """Fill places (2, pixels): distance from the axis and sample of the profile.

        Returns:
            the half-width at each of the pixels.
        """
        columns, rows = self._per_column_and_row(size)
        for span in spans:
            (y, x), part = span.window, span.part
            np.add(columns[:, part, None, x], rows[:, part, y, None], out=span.of(places))
        index, radius = places[1].astype(np.int32), np.empty_like(places[1])
        for span in spans:
            at, shift = index[span.flat], self.parts[span.part].shift
            self.profiles[span.part].take(at, mode="clip", out=radius[span.flat])
            if shift is not None:
                places[0, span.flat] -= np.concatenate([[0], shift, [0]]).take(at, mode="clip")
        return radius

    def _per_column_and_row(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the contribution of columns (2, parts, W) and rows to distance and sample."""
        x, y = self.ends[:, 0], self.ends[:, 1]
        pace = SAMPLES / self.length
        a = np.array([self.down, self.right * pace])
        b = np.array([-self.right, self.down * pace])
        zero = np.array([0.0, 1.0])[:, None] - a * x - b * y
        columns = a[..., None] * np.arange(size[1]) + zero[..., None]
        rows = b[..., None] * np.arange(size[0])
        return columns.astype(np.float32), rows.astype(np.float32)


def _shade(
    u: np.ndarray,
    parts: Sequence[Part],
    spans: list[_Span],
    axes: _Axes,
    light: Light,
    folds: np.ndarray,
) -> np.ndarray:
    """Light round surfaces: ambient, diffuse, a highlight and folds."""
    sideways = (axes.down * light.x - axes.right * light.y).tolist()
    facing = _ONE - u * u
    np.sqrt(np.maximum(facing, _ZERO, out=facing), out=facing)
    lit = np.empty_like(u)
    for span in spans:
        strength, flat = light.diffuse * parts[span.part].dim, span.flat
        facing[flat] *= light.z * strength
        np.multiply(u[flat], sideways[span.part] * strength, out=lit[flat])
    lit += facing
    gloss = np.maximum(lit, _ZERO, out=facing)
    gloss *= gloss
    gloss *= gloss
    for span in spans:
        part, shine = parts[span.part], gloss[span.flat]
        shine *= part.material.gloss
        shine += light.ambient * part.dim
        if part.material.wrinkles:
            creased = shine.reshape(span.shape)
            creased += part.material.wrinkles * folds[span.window]
    return np.add(lit, gloss, out=lit)


def _clamped(values: np.ndarray) -> np.ndarray:
    """Clamp to [0, 1], in place."""
    np.maximum(values, _ZERO, out=values)
    return np.minimum(values, _ONE, out=values)


class Canvas:
    """Float32 RGB planes (3, H, W) in [0, 1] with the mask (H, W) of the painted area.

    Planes, because numpy iterates over the last axis: rows of pixels are faster than triples.
    """

    def __init__(self, image: np.ndarray, *, light: Light, folds: np.ndarray) -> None:
        """Use ``image`` without a copy; ``folds`` is a noise image (H, W) around 0."""
        self.image = image
        self.mask = np.zeros(image.shape[1:], np.float32)
        self._size = image.shape[1], image.shape[2]
        self._light = light
        self._folds = folds

    def paint(self, parts: Sequence[Part]) -> None:
        """Draw parts in order, each with a contact shadow on those before it."""
        for surface in sweep(parts, self._light, self._folds, self._size):
            self._lay(surface)

    def seen(self, surface: Surface) -> np.ndarray:
        """Return the contribution of a surface: its lit color, (3, h, w) or (1, h, w)."""
        return np.asarray(surface.color() * surface.shade)

    def _lay(self, surface: Surface) -> None:
        rows, columns = surface.window
        image, mask, keep = self.image[:, rows, columns], self.mask[surface.window], surface.keep
        if surface.part.contact:
            shadow = np.multiply(surface.near, mask, out=surface.near)
            shadow *= surface.part.contact
            keep -= shadow
        image *= keep
        image += self.seen(surface)
        np.maximum(mask, surface.alpha, out=mask)
