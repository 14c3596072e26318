"""What a camera with an infrared lamp sees: reflectance and warmth of materials, not of colors."""

from __future__ import annotations

import dataclasses

import numpy as np

from torchreid_adv.data.virtual.canvas import Canvas
from torchreid_adv.data.virtual.solids import Light
from torchreid_adv.data.virtual.style import Camera
from torchreid_adv.data.virtual.sweep import Surface

LAMP = Light(0.0, -0.14, 0.99, 0.34, 0.66)  # beside the lens

# of near-infrared light; most dyes that are dark to the eye are not dark here
REFLECTANCE = {
    "skin": 0.55, "hair": 0.22, "cotton": 0.62, "denim": 0.50, "wool": 0.60, "nylon": 0.42,
    "down": 0.52, "leather": 0.26, "rubber": 0.10,
}  # fmt: skip
# added to what is reflected: what is near the skin glows
WARMTH = {
    "skin": 0.10, "hair": 0.03, "cotton": 0.05, "denim": 0.04, "wool": 0.03, "nylon": 0.05,
    "down": 0.0, "leather": 0.01, "rubber": 0.0,
}  # fmt: skip
_DYE = np.array([5.1, -7.3, 9.7], np.float32)
_GROUND = np.array([0.34, 0.30, 0.20], np.float32)


class InfraredCanvas(Canvas):
    """A canvas on which parts leave what is reflected of the lamp and their own warmth."""

    def seen(self, surface: Surface) -> np.ndarray:
        """Return one plane (1, h, w)."""
        name, color = surface.part.material.name, surface.color()
        factor = _hairy(color) if name == "skin" else _dyed(color)
        light = REFLECTANCE[name] * factor * surface.shade
        return np.asarray(light + WARMTH[name] * surface.alpha)


def infrared_scene(planes: np.ndarray) -> np.ndarray:
    """Return a scene (3, H, W) by the lamp: leaves shine, the rest fades towards the corners."""
    red, green, blue = planes
    leaves = np.maximum(green - np.maximum(red, blue), 0.0)
    gray = np.tensordot(_GROUND, planes, axes=1) + 1.6 * leaves + 0.04
    height, width = gray.shape
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    gray = gray * (1.0 - 0.28 * np.minimum(x * x + y * y, 1.5))
    return np.ascontiguousarray(np.broadcast_to(gray.astype(np.float32), planes.shape))


def by_night(camera: Camera) -> Camera:
    """Return the camera with its infrared filter moved away: gray, noisier, harder contrast."""
    return dataclasses.replace(
        camera,
        light=LAMP,
        gains=(1.0, 1.0, 1.0),
        gamma=0.95,
        saturation=0.0,
        contrast=1.1,
        haze=0.02,
        noise=1.6 * camera.noise + 0.006,
    )


def _hairy(color: np.ndarray) -> np.ndarray:
    """Return a factor (1, ...) of skin, less where a head is darker: hair takes the lamp's light.

    How dark a skin is to the eye says little in the infrared.
    """
    tone = color.mean(axis=0, keepdims=True)
    return np.asarray(0.3 + 0.7 * np.minimum(tone / max(float(tone.max()), 0.05), 1.0) ** 1.5)


def _dyed(color: np.ndarray) -> np.ndarray:
    """Return a factor (1, ...) around 1: dyes differ in the infrared, but not as they do to us."""
    angle = np.tensordot(_DYE, color, axes=1)[None] + 0.9
    return np.asarray(1.0 + 0.2 * np.sin(angle))
