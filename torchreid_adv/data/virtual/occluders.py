"""Things between camera and person, drawn on float RGB planes (3, H, W) with soft edges."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from torchreid_adv.data.virtual.clothes import RGB
from torchreid_adv.data.virtual.colors import COLORS, ink, to_float
from torchreid_adv.data.virtual.draws import pick, spread
from torchreid_adv.data.virtual.street import bicycle

# draws on a uint8 RGB image (H, W, 3); black pixels stay transparent
Occluder = Callable[[np.ndarray, np.random.Generator], None]


def occlude(planes: np.ndarray, name: str, rng: np.random.Generator) -> None:
    """Draw an occluder by name over float32 planes (3, H, W), in place."""
    layer = np.zeros((planes.shape[1], planes.shape[2], 3), np.uint8)
    OCCLUDERS[name](layer, rng)
    cover = cv2.GaussianBlur((layer.max(axis=2) > 0).astype(np.float32), (3, 3), 0)
    planes += cover * (to_float(layer).transpose(2, 0, 1) - planes)


def _color(rng: np.random.Generator, *names: str) -> RGB:
    return COLORS[pick(rng, dict.fromkeys(names, 1.0))]


def _pole(layer: np.ndarray, rng: np.random.Generator) -> None:
    height, width = layer.shape[:2]
    x, wide = spread(rng, 0.08, 0.9) * width, spread(rng, 0.06, 0.13) * width
    color = _color(rng, "gray", "charcoal", "green", "light_gray")
    for column in range(int(wide)):
        tone = 1.15 - 0.6 * abs(column / wide - 0.35)
        cv2.line(layer, (int(x) + column, 0), (int(x) + column, height), ink(color, tone), 1)


def _bench(layer: np.ndarray, rng: np.random.Generator) -> None:
    height, width = layer.shape[:2]
    top, wood = spread(rng, 0.68, 0.84) * height, _color(rng, "brown", "camel", "rust", "gray")
    for row in range(3):
        y = int(top + row * 0.06 * height)
        cv2.rectangle(
            layer, (0, y), (width, y + int(0.04 * height)), ink(wood, 1.0 - 0.1 * row), -1
        )


def _bicycle(layer: np.ndarray, rng: np.random.Generator) -> None:
    height, width = layer.shape[:2]
    x = int(spread(rng, -0.7, 0.5) * width)
    bicycle(layer, x, int(0.99 * height), 0.8 * height, _color(rng, "red", "blue", "teal", "gray"))


def _car(layer: np.ndarray, rng: np.random.Generator) -> None:
    height, width = layer.shape[:2]
    color = _color(rng, "white", "charcoal", "red", "blue", "light_gray")
    top, lean = spread(rng, 0.66, 0.8) * height, spread(rng, -0.12, 0.12) * height
    hood = np.array([(0, top + lean), (width, top - lean), (width, height), (0, height)], np.int32)
    cv2.fillPoly(layer, [hood], ink(color), cv2.LINE_AA)
    edge = (0, int(top + lean) + 5), (width, int(top - lean) + 5)
    cv2.line(layer, *edge, ink(color, 0.7), 4, cv2.LINE_AA)


def _bush(layer: np.ndarray, rng: np.random.Generator) -> None:
    height, width = layer.shape[:2]
    middle = rng.random() * width
    for _ in range(90):
        x = int(middle + rng.normal(0, 0.3) * width)
        y = int(height * (1.0 - abs(rng.normal(0, 0.13))))
        tone = spread(rng, 0.2, 0.5)
        cv2.circle(layer, (x, y), int(spread(rng, 2, 7)), ink((tone * 0.6, tone, tone * 0.4)), -1)


def _luggage(layer: np.ndarray, rng: np.random.Generator) -> None:
    height, width = layer.shape[:2]
    color = _color(rng, "black", "navy", "red", "teal", "gray", "lilac")
    x, y = int(spread(rng, -0.1, 0.75) * width), int(spread(rng, 0.64, 0.76) * height)
    right = x + int(0.38 * width)
    cv2.rectangle(layer, (x, y), (right, height), ink(color), -1)
    for column in range(x + 5, right, 6):
        cv2.line(layer, (column, y), (column, height), ink(color, 0.75), 2)


def _counter(layer: np.ndarray, rng: np.random.Generator) -> None:
    height, width = layer.shape[:2]
    top, color = int(spread(rng, 0.66, 0.8) * height), _color(rng, "camel", "light_gray", "brown")
    cv2.rectangle(layer, (0, top), (width, height), ink(color, 0.8), -1)
    cv2.rectangle(layer, (0, top), (width, top + int(0.03 * height)), ink(color, 1.15), -1)


OCCLUDERS: dict[str, Occluder] = {
    "pole": _pole,
    "bench": _bench,
    "bicycle": _bicycle,
    "car": _car,
    "bush": _bush,
    "luggage": _luggage,
    "counter": _counter,
}
