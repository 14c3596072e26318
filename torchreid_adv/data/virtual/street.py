"""Things along the walls of a scene. All draw on uint8 RGB images (H, W, 3)."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from torchreid_adv.data.virtual.clothes import RGB
from torchreid_adv.data.virtual.colors import COLORS, ink
from torchreid_adv.data.virtual.draws import pick, spread

# (image, x of its left edge, y of the ground line, standing height in pixels, generator)
Thing = Callable[[np.ndarray, int, int, float, np.random.Generator], None]


def bar(image: np.ndarray, x0: float, y0: float, x1: float, y1: float, color: RGB) -> None:
    """Fill a rectangle."""
    cv2.rectangle(image, (int(x0), int(y0)), (int(x1), int(y1)), ink(color), -1)


def _color(rng: np.random.Generator, *names: str) -> RGB:
    return COLORS[pick(rng, dict.fromkeys(names, 1.0))]


def _door(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    color = _color(rng, "brown", "charcoal", "teal", "burgundy", "light_gray", "green")
    width, height = 0.52 * unit, 1.15 * unit
    bar(image, x - 4, y - height - 4, x + width + 4, y, (0.8, 0.79, 0.76))
    bar(image, x, y - height, x + width, y, color)
    dark: RGB = (color[0] * 0.7, color[1] * 0.7, color[2] * 0.7)
    for top in (0.08, 0.56):
        bar(image, x + 0.08 * unit, y - height * (1 - top), x + width - 0.08 * unit,
            y - height * (0.62 - top), dark)  # fmt: skip
    cv2.circle(image, (int(x + width * 0.88), int(y - 0.5 * unit)), 2, ink((0.8, 0.75, 0.5)), -1)


def _window(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    width, low, high = spread(rng, 0.5, 0.8) * unit, 0.42 * unit, 1.1 * unit
    bar(image, x - 3, y - high - 3, x + width + 3, y - low + 4, (0.85, 0.85, 0.83))
    _glass(image, x, int(y - high), int(x + width), int(y - low), rng)
    bar(image, x + width / 2 - 1, y - high, x + width / 2 + 1, y - low, (0.85, 0.85, 0.83))


def _shop(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    width, high = spread(rng, 1.0, 1.5) * unit, 1.2 * unit
    bar(
        image,
        x - 5,
        y - high,
        x + width + 5,
        y,
        _color(rng, "charcoal", "navy", "burgundy", "green"),
    )
    _glass(image, x, int(y - high), int(x + width), int(y - 0.12 * unit), rng)
    for _ in range(4):  # goods on display
        left, tall = x + rng.random() * width * 0.85, spread(rng, 0.1, 0.45) * unit
        goods = _color(rng, "red", "sky", "yellow", "cream", "teal", "pink", "orange")
        bar(image, left, y - 0.14 * unit - tall, left + 0.12 * unit, y - 0.14 * unit, goods)


def _glass(image: np.ndarray, x0: int, y0: int, x1: int, y1: int, rng: np.random.Generator) -> None:
    shade = spread(rng, 0.2, 0.45)
    bar(image, x0, y0, x1, y1, (shade * 0.85, shade * 0.97, shade * 1.1))
    lean = int(0.3 * (y1 - y0))
    for _ in range(2):  # reflections
        left = int(spread(rng, x0, x1))
        corners = np.array([(left, y0), (left + 9, y0), (left + 9 - lean, y1), (left - lean, y1)])
        corners[:, 0] = corners[:, 0].clip(x0, x1)
        cv2.fillPoly(
            image, [corners.astype(np.int32)], ink((shade * 1.3, shade * 1.4, shade * 1.5))
        )


def _poster(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    width, low = 0.3 * unit, 0.5 * unit
    bar(image, x, y - low - 0.45 * unit, x + width, y - low, (0.88, 0.87, 0.84))
    picture = _color(rng, "red", "blue", "yellow", "teal", "magenta", "orange", "green")
    bar(image, x + 4, y - low - 0.4 * unit, x + width - 4, y - low - 0.16 * unit, picture)
    for line in range(3):
        top = y - low - 0.12 * unit + line * 0.035 * unit
        bar(image, x + 4, top, x + width * spread(rng, 0.5, 0.9), top + 1, (0.3, 0.3, 0.3))


def _tree(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    wide = spread(rng, 0.05, 0.1) * unit
    bark = spread(rng, 0.24, 0.36)
    for step in range(5):  # light to dark across the trunk
        tone = bark * (1.15 - 0.12 * step)
        left = x + wide * 0.4 * step
        bar(image, left, 0, left + wide * 0.4, y + 4, (tone, tone * 0.85, tone * 0.7))
    for _ in range(26):
        cx, cy = int(x + rng.normal(0, 0.3) * unit), int(y - unit * spread(rng, 0.95, 1.5))
        tone = spread(rng, 0.22, 0.5)
        color = ink((tone * 0.55, tone, tone * 0.4))
        cv2.circle(image, (cx, cy), int(spread(rng, 4, 0.14 * unit)), color, -1, cv2.LINE_AA)


def _bush(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    for _ in range(60):
        cx, cy = int(x + rng.random() * 0.7 * unit), int(y - abs(rng.normal(0, 0.14)) * unit)
        tone = spread(rng, 0.18, 0.48)
        color = ink((tone * 0.6, tone, tone * 0.4))
        cv2.circle(image, (cx, cy), int(spread(rng, 2, 0.07 * unit)), color, -1, cv2.LINE_AA)


def _bin(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    color = _color(rng, "green", "charcoal", "gray", "blue", "mustard")
    for step in range(6):
        tone = 1.1 - 0.12 * step
        left = x + step * 0.045 * unit
        shade: RGB = (color[0] * tone, color[1] * tone, color[2] * tone)
        bar(image, left, y - 0.42 * unit, left + 0.045 * unit, y + 3, shade)
    bar(image, x - 2, y - 0.46 * unit, x + 0.27 * unit + 2, y - 0.41 * unit, (0.2, 0.2, 0.2))


def _bench(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    wood = _color(rng, "brown", "camel", "rust", "gray")
    for height in (0.46, 0.38, 0.24):
        top = y - height * unit
        bar(image, x, top, x + 0.95 * unit, top + 0.05 * unit, wood)
    for left in (0.06, 0.84):
        bar(
            image,
            x + left * unit,
            y - 0.46 * unit,
            x + (left + 0.04) * unit,
            y + 3,
            (0.15, 0.15, 0.15),
        )


def _car(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    color = _color(rng, "white", "charcoal", "red", "blue", "light_gray", "navy", "teal", "black")
    long, y = 2.3 * unit, int(y + 0.06 * unit)
    shape = (
        (0, 0.12),
        (0.03, 0.36),
        (0.2, 0.42),
        (0.34, 0.72),
        (0.7, 0.74),
        (0.86, 0.46),
        (0.99, 0.4),
        (1, 0.12),
    )
    outline = np.array([(x + a * long, y - b * unit) for a, b in shape], np.int32)
    cv2.fillPoly(image, [outline], ink(color), cv2.LINE_AA)
    glass = ((0.25, 0.44), (0.36, 0.67), (0.68, 0.69), (0.8, 0.46))
    pane = np.array([(x + a * long, y - b * unit) for a, b in glass], np.int32)
    cv2.fillPoly(image, [pane], ink((0.2, 0.25, 0.3)), cv2.LINE_AA)
    bar(
        image,
        x,
        y - 0.2 * unit,
        x + long,
        y - 0.12 * unit,
        (color[0] * 0.5, color[1] * 0.5, color[2] * 0.5),
    )
    bar(
        image,
        x + 0.5 * long,
        y - 0.68 * unit,
        x + 0.515 * long,
        y - 0.2 * unit,
        (color[0] * 0.7, color[1] * 0.7, color[2] * 0.7),
    )
    for wheel in (0.2, 0.8):
        center = (int(x + wheel * long), int(y - 0.1 * unit))
        cv2.circle(image, center, int(0.17 * unit), ink((0.08, 0.08, 0.08)), -1, cv2.LINE_AA)
        cv2.circle(image, center, int(0.09 * unit), ink((0.55, 0.56, 0.58)), -1, cv2.LINE_AA)


def _pillar(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    tone = spread(rng, 0.5, 0.8)
    for step in range(8):
        light = tone * (1.1 - 0.09 * abs(step - 2))
        left = x + step * 0.04 * unit
        bar(image, left, 0, left + 0.04 * unit, y + 5, (light, light, light * 0.97))


def _lockers(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    color = _color(rng, "teal", "gray", "sky", "light_gray", "mustard")
    for column in range(5):
        left = x + column * 0.24 * unit
        bar(image, left, y - 1.1 * unit, left + 0.22 * unit, y, color)
        for slit in range(3):
            top = y - (1.0 - 0.05 * slit) * unit
            bar(image, left + 4, top, left + 0.16 * unit, top + 1, (0.2, 0.2, 0.2))


def _plant(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    for _ in range(22):
        tip = (int(x + rng.normal(0.12, 0.16) * unit), int(y - spread(rng, 0.35, 0.8) * unit))
        tone = spread(rng, 0.25, 0.55)
        base = (int(x + 0.12 * unit), int(y - 0.22 * unit))
        cv2.line(image, base, tip, ink((tone * 0.5, tone, tone * 0.45)), 3, cv2.LINE_AA)
    bar(image, x, y - 0.25 * unit, x + 0.24 * unit, y + 3, _color(rng, "rust", "white", "charcoal"))


def _fence(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    color = _color(rng, "charcoal", "green", "light_gray", "brown")
    for post in range(16):
        left = x + post * 0.1 * unit
        bar(image, left, y - 0.6 * unit, left + 2, y + 2, color)
    for height in (0.58, 0.1):
        bar(image, x, y - height * unit, x + 1.55 * unit, y - height * unit + 3, color)


def _bicycle(image: np.ndarray, x: int, y: int, unit: float, rng: np.random.Generator) -> None:
    bicycle(image, x, y, unit, _color(rng, "red", "blue", "black", "teal", "light_gray"))


def bicycle(image: np.ndarray, x: int, y: int, unit: float, color: RGB) -> None:
    """Draw a bicycle whose left wheel begins at x and touches the ground at y."""
    radius, thick = int(0.19 * unit), max(2, int(0.018 * unit))
    rear, front = (x + radius, y - radius), (int(x + 0.62 * unit), y - radius)
    for hub in (rear, front):
        cv2.circle(image, hub, radius, ink((0.1, 0.1, 0.1)), thick, cv2.LINE_AA)
    saddle, bars = (
        (int(x + 0.28 * unit), int(y - 0.5 * unit)),
        (int(x + 0.55 * unit), int(y - 0.54 * unit)),
    )
    pedal = (int(x + 0.36 * unit), int(y - 0.18 * unit))
    for first, last in (
        (rear, pedal),
        (rear, saddle),
        (pedal, saddle),
        (saddle, bars),
        (pedal, bars),
        (bars, front),
    ):
        cv2.line(image, first, last, ink(color), thick, cv2.LINE_AA)


THINGS: dict[str, Thing] = {
    "door": _door,
    "window": _window,
    "shop": _shop,
    "poster": _poster,
    "tree": _tree,
    "bush": _bush,
    "bin": _bin,
    "bench": _bench,
    "car": _car,
    "pillar": _pillar,
    "lockers": _lockers,
    "plant": _plant,
    "fence": _fence,
    "bicycle": _bicycle,
}
