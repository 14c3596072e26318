"""Named colors, RGB in [0, 1], for the tables of the styles."""

from __future__ import annotations

import cv2
import numpy as np

from torchreid_adv.data.virtual.clothes import RGB

COLORS: dict[str, RGB] = {
    "white": (0.90, 0.90, 0.88),
    "cream": (0.88, 0.83, 0.70),
    "light_gray": (0.68, 0.69, 0.70),
    "gray": (0.45, 0.46, 0.48),
    "charcoal": (0.23, 0.24, 0.26),
    "black": (0.10, 0.10, 0.11),
    "navy": (0.12, 0.16, 0.32),
    "blue": (0.16, 0.32, 0.66),
    "sky": (0.48, 0.68, 0.88),
    "denim": (0.25, 0.36, 0.53),
    "light_denim": (0.48, 0.58, 0.70),
    "dark_denim": (0.14, 0.19, 0.29),
    "teal": (0.10, 0.46, 0.48),
    "turquoise": (0.25, 0.70, 0.68),
    "green": (0.16, 0.47, 0.24),
    "olive": (0.36, 0.38, 0.20),
    "khaki": (0.62, 0.56, 0.40),
    "lime": (0.62, 0.82, 0.18),
    "yellow": (0.92, 0.78, 0.20),
    "mustard": (0.74, 0.55, 0.15),
    "orange": (0.91, 0.46, 0.12),
    "rust": (0.62, 0.29, 0.14),
    "red": (0.76, 0.12, 0.14),
    "burgundy": (0.42, 0.09, 0.16),
    "pink": (0.90, 0.58, 0.66),
    "magenta": (0.74, 0.16, 0.48),
    "purple": (0.42, 0.22, 0.54),
    "lilac": (0.68, 0.58, 0.82),
    "beige": (0.76, 0.67, 0.53),
    "camel": (0.66, 0.48, 0.28),
    "brown": (0.37, 0.24, 0.15),
    "dark_brown": (0.21, 0.14, 0.10),
    "safety_yellow": (0.82, 0.92, 0.14),
    "safety_orange": (0.98, 0.42, 0.08),
}

SKIN: tuple[RGB, ...] = (
    (0.93, 0.76, 0.66),
    (0.88, 0.69, 0.56),
    (0.80, 0.60, 0.46),
    (0.69, 0.49, 0.35),
    (0.53, 0.36, 0.25),
    (0.38, 0.25, 0.18),
    (0.28, 0.19, 0.14),
)

HAIR: dict[str, tuple[RGB, float]] = {
    "black": ((0.08, 0.07, 0.07), 5.0),
    "dark_brown": ((0.20, 0.13, 0.09), 5.0),
    "brown": ((0.36, 0.23, 0.14), 3.0),
    "blond": ((0.76, 0.60, 0.36), 2.0),
    "red": ((0.56, 0.25, 0.12), 0.8),
    "gray": ((0.60, 0.60, 0.61), 1.4),
    "white": ((0.84, 0.84, 0.83), 0.5),
    "dyed_blue": ((0.20, 0.34, 0.66), 0.2),
    "dyed_pink": ((0.82, 0.40, 0.60), 0.2),
}


_TOP = int(np.iinfo(np.uint8).max)


def ink(color: RGB, factor: float = 1.0) -> tuple[int, int, int]:
    """Return an RGB color of [0, 1], times a factor, in 8-bit levels."""
    red, green, blue = (round(min(max(c * factor, 0.0), 1.0) * _TOP) for c in color)
    return red, green, blue


def to_levels(image: np.ndarray) -> np.ndarray:
    """Turn a float image of [0, 1] into uint8, rounding to the nearest level; none is negative."""
    return cv2.convertScaleAbs(image, alpha=_TOP)


def to_float(image: np.ndarray) -> np.ndarray:
    """Turn a uint8 image into float32 of [0, 1]."""
    return image.astype(np.float32) * np.float32(1 / _TOP)
