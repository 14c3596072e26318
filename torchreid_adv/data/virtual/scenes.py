"""Scenes: what a camera sees without people. They do not depend on the people."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np

from torchreid_adv.data.virtual.clothes import RGB
from torchreid_adv.data.virtual.colors import ink, to_float, to_levels
from torchreid_adv.data.virtual.draws import spread
from torchreid_adv.data.virtual.street import THINGS, bar
from torchreid_adv.data.virtual.style import Scene

# (image, rows or the row they end or begin at, color, standing height in pixels, generator)
Surface = Callable[[np.ndarray, int, RGB, float, np.random.Generator], None]


def panorama(scene: Scene, rng: np.random.Generator, *, height: int, width: int) -> np.ndarray:
    """Draw a wide view of a scene.

    Args:
        scene: content of the scene.
        rng: random positions of things.
        height: rows; people fill about 0.9 of a crop of 0.8 of them.
        width: columns; crops are taken anywhere along them.

    Returns:
        float32 RGB (height, width, 3) in [0, 1].
    """
    ground, unit = int(height * scene.horizon), 0.62 * height
    image = np.empty((height, width, 3), np.uint8)
    image[:ground], image[ground:] = ink(scene.wall_color), ink(scene.ground_color)
    WALLS[scene.wall](image, ground, scene.wall_color, unit, rng)
    GROUNDS[scene.ground](image, ground, scene.ground_color, unit, rng)
    image = to_levels(to_float(image) * _shadows(scene, rng, image.shape[:2], ground)[..., None])
    x = 0.0
    while scene.things and x < width:
        THINGS[scene.things[rng.integers(len(scene.things))]](image, int(x), ground, unit, rng)
        x += spread(rng, 0.5, 1.7) * unit
    return to_float(image) * _dirt(rng, image.shape[:2])[..., None]


def noise(rng: np.random.Generator, shape: tuple[int, int], step: int) -> np.ndarray:
    """Return smooth noise around 0, of about unit deviation, with bumps of ``step`` pixels."""
    small = (shape[0] // step + 3, shape[1] // step + 3)
    field = rng.standard_normal(small, dtype=np.float32)
    large = cv2.resize(field, (small[1] * step, small[0] * step), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[: shape[0], : shape[1]])


def _dirt(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    coarse, fine = noise(rng, shape, 24), noise(rng, shape, 3)
    return 1.0 + 0.04 * coarse + 0.03 * fine + 0.02 * rng.standard_normal(shape, dtype=np.float32)


def _shadows(
    scene: Scene, rng: np.random.Generator, shape: tuple[int, int], ground: int
) -> np.ndarray:
    """Return the light on the ground: long soft shadows of things outside the picture."""
    light = np.ones(shape, np.float32)
    for _ in range(int(shape[1] / 110)):
        x, wide = spread(rng, 0, shape[1]), spread(rng, 14, 80)
        lean = spread(rng, -90, 90)
        corners = [
            (x, ground),
            (x + wide, ground),
            (x + wide * 1.5 + lean, shape[0]),
            (x + lean, shape[0]),
        ]
        cv2.fillPoly(light, [np.array(corners, np.int32)], 1.0 - scene.shadows)
    light[ground : ground + 6] *= 0.85
    return np.asarray(cv2.GaussianBlur(light, (0, 0), 3.0))


def _plaster(
    image: np.ndarray, end: int, color: RGB, unit: float, rng: np.random.Generator
) -> None:
    bar(image, 0, end - 0.12 * unit, image.shape[1], end, _tone(color, 0.75))


def _brick(image: np.ndarray, end: int, color: RGB, unit: float, rng: np.random.Generator) -> None:
    tall, long = 6, 16
    for row in range(end // tall + 1):
        y = end - (row + 1) * tall
        for x in range(-(row % 2) * long // 2, image.shape[1], long):
            bar(image, x, y, x + long - 2, y + tall - 2, _tone(color, spread(rng, 0.75, 1.2)))


def _panels(image: np.ndarray, end: int, color: RGB, unit: float, rng: np.random.Generator) -> None:
    step = int(spread(rng, 0.5, 0.8) * unit)
    for x in range(0, image.shape[1], step):
        bar(image, x, 0, x + step - 3, end, _tone(color, spread(rng, 0.92, 1.06)))
    bar(image, 0, end - 4, image.shape[1], end, _tone(color, 0.55))


def _shutter(
    image: np.ndarray, end: int, color: RGB, unit: float, rng: np.random.Generator
) -> None:
    for y in range(0, end, 5):
        bar(image, 0, y, image.shape[1], y + 1, _tone(color, 0.72))


def _facade(image: np.ndarray, end: int, color: RGB, unit: float, rng: np.random.Generator) -> None:
    step = int(0.42 * unit)
    for x in range(0, image.shape[1], step):
        shade = spread(rng, 0.22, 0.5)
        for y in range(end):  # sky mirrored above, street below
            tone = shade * (1.35 - 0.6 * y / max(end, 1))
            bar(image, x, y, x + step - 4, y, (tone * 0.85, tone * 0.97, tone * 1.08))
    bar(image, 0, end - 8, image.shape[1], end, _tone(color, 0.6))


def _hedge(image: np.ndarray, end: int, color: RGB, unit: float, rng: np.random.Generator) -> None:
    for _ in range(image.shape[1] * 3):
        spot = (int(rng.random() * image.shape[1]), int(rng.random() * (end + 3)))
        cv2.circle(image, spot, int(spread(rng, 2, 6)), ink(color, spread(rng, 0.45, 1.35)), -1)


WALLS: dict[str, Surface] = {
    "plaster": _plaster,
    "brick": _brick,
    "panels": _panels,
    "shutter": _shutter,
    "facade": _facade,
    "hedge": _hedge,
}


def _tiles(
    image: np.ndarray, start: int, color: RGB, unit: float, rng: np.random.Generator
) -> None:
    height, width = image.shape[:2]
    rows = start + (height - start) * np.linspace(0, 1, 11) ** 1.5
    line = _tone(color, spread(rng, 0.78, 0.88))
    for upper, lower in itertools.pairwise(rows):
        step, skew = (
            0.1 * unit * (0.5 + 0.9 * (lower - start) / (height - start)) * 2,
            rng.random() * 30,
        )
        for x in np.arange(-skew, width, step):
            bar(image, x, upper, x + step, lower, _tone(color, spread(rng, 0.93, 1.07)))
            bar(image, x, upper, x, lower, line)
        bar(image, 0, upper, width, upper, line)


def _asphalt(
    image: np.ndarray, start: int, color: RGB, unit: float, rng: np.random.Generator
) -> None:
    speckle = 1.0 + 0.10 * rng.standard_normal((image.shape[0] - start, image.shape[1]))
    image[start:] = to_levels(to_float(image[start:]) * speckle[..., None])
    for _ in range(int(image.shape[1] / 160)):  # painted lines
        x, lean = int(rng.random() * image.shape[1]), int(spread(rng, -120, 120))
        tone = ink((0.82, 0.82, 0.76) if rng.random() < 0.7 else (0.85, 0.7, 0.2))
        cv2.line(image, (x, start), (x + lean, image.shape[0]), tone, 5, cv2.LINE_AA)
    bar(image, 0, start, image.shape[1], start + 7, (0.62, 0.61, 0.58))  # curb


def _grass(
    image: np.ndarray, start: int, color: RGB, unit: float, rng: np.random.Generator
) -> None:
    height, width = image.shape[:2]
    for _ in range(width * 5):
        x, y = int(rng.random() * width), int(start + rng.random() * (height - start))
        tip = (x + int(rng.integers(-2, 3)), y - 4)
        cv2.line(image, (x, y), tip, ink(color, spread(rng, 0.7, 1.3)), 1)
    path = np.array(
        [(0, height), (width * 2 // 3, start), (width * 3 // 4, start), (width // 3, height)]
    )
    cv2.fillPoly(image, [path.astype(np.int32)], ink((0.66, 0.6, 0.5)))


def _boards(
    image: np.ndarray, start: int, color: RGB, unit: float, rng: np.random.Generator
) -> None:
    height, width = image.shape[:2]
    for x in range(-width, 2 * width, 22):
        corners = [
            (x, start),
            (x + 22, start),
            (x * 1.9 - width * 0.45 + 42, height),
            (x * 1.9 - width * 0.45, height),
        ]
        cv2.fillPoly(image, [np.array(corners, np.int32)], ink(color, spread(rng, 0.86, 1.1)))


def _polished(
    image: np.ndarray, start: int, color: RGB, unit: float, rng: np.random.Generator
) -> None:
    _tiles(image, start, color, unit * 2.2, rng)
    depth = min(start, image.shape[0] - start)
    mirror = to_float(image[start - depth : start][::-1])
    share = np.linspace(0.35, 0.05, depth, dtype=np.float32)[:, None, None]
    floor = to_float(image[start : start + depth])
    image[start : start + depth] = to_levels(floor * (1 - share) + mirror * share)


def _snow(image: np.ndarray, start: int, color: RGB, unit: float, rng: np.random.Generator) -> None:
    shape = (image.shape[0] - start, image.shape[1])
    bumps = 1.0 + 0.05 * noise(rng, shape, 12) + 0.04 * noise(rng, shape, 5)
    image[start:] = to_levels(to_float(image[start:]) * bumps[..., None])


def _court(
    image: np.ndarray, start: int, color: RGB, unit: float, rng: np.random.Generator
) -> None:
    height, width = image.shape[:2]
    for y in (start + (height - start) // 5, start + (height - start) * 2 // 3):
        bar(image, 0, y, width, y + 4, (0.88, 0.88, 0.86))
    for x in range(40, width, 190):
        cv2.line(image, (x, start), (x - 70, height), ink((0.88, 0.88, 0.86)), 4, cv2.LINE_AA)


GROUNDS: dict[str, Surface] = {
    "tiles": _tiles,
    "asphalt": _asphalt,
    "grass": _grass,
    "boards": _boards,
    "polished": _polished,
    "snow": _snow,
    "court": _court,
}


def _tone(color: RGB, factor: float) -> RGB:
    red, green, blue = color
    return red * factor, green * factor, blue * factor
