"""The response of a camera: blur, color response, exposure, noise; infrared at night."""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from torchreid_adv.data.virtual.draws import spread
from torchreid_adv.data.virtual.shading import Canvas, Surface
from torchreid_adv.data.virtual.solids import Light
from torchreid_adv.data.virtual.style import Camera

_LUMA = np.asarray((0.299, 0.587, 0.114))


def respond(
    image: np.ndarray,
    camera: Camera,
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    grain: np.ndarray,
) -> np.ndarray:
    """Turn the light in front of a camera into its image.

    Args:
        image: float32 RGB (H, W, 3), at least as large as ``size``.
        camera: properties of the camera.
        rng: random numbers of this image; they do not depend on the person.
        size: height and width of the resulting image.
        grain: normal noise (H, W, 3) larger than ``size``, from which a piece is cut; drawing
            noise for every image would take a quarter of the time.

    Returns:
        float32 RGB of that size in [0, 1].
    """
    share = spread(rng, *camera.resolution)
    small = max(8, round(size[1] * share)), max(16, round(size[0] * share))
    if small != image.shape[1::-1]:
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    sigma = camera.blur * spread(rng, 0.6, 1.5)
    if rng.random() < 0.25:  # the person moved while the shutter was open
        image = cv2.blur(image, (int(rng.integers(2, 4)), 1))
    if sigma > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if small != size[::-1]:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)
    image = _color(np.maximum(image, 0.0), camera, rng)
    y, x = (int(rng.integers(grain.shape[side] - size[side])) for side in (0, 1))
    image += np.float32(camera.noise) * grain[y : y + size[0], x : x + size[1]]
    return np.minimum(np.maximum(image, 0.0, out=image), 1.0, out=image)


def _color(image: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Apply exposure and gains, gamma, then saturation, contrast and haze as one matrix."""
    drift = (1.0 + 0.03 * rng.standard_normal(3)) * np.exp(camera.exposure * rng.standard_normal())
    gains = np.diag(np.asarray(camera.gains) * drift)
    image = cv2.pow(cv2.transform(image, gains), camera.gamma)
    tilt = 0.08 * rng.standard_normal()  # brighter above or below
    slope = np.linspace(1 - tilt, 1 + tilt, len(image), dtype=np.float32)[:, None, None]
    return cv2.transform(image * slope, _mix(camera.saturation, camera.contrast, camera.haze))


@functools.lru_cache(maxsize=64)
def _mix(saturation: float, contrast: float, haze: float) -> np.ndarray:
    """Return saturation, contrast and haze as a matrix (3, 4) on red, green, blue and 1."""
    mix = saturation * np.eye(3) + (1.0 - saturation) * _LUMA
    middle = np.full(3, 0.45 * (1.0 - contrast))
    matrix = np.column_stack([contrast * mix, middle]) * (1.0 - haze)
    matrix[:, 3] += haze
    return matrix


LAMP = Light(0.0, -0.14, 0.99, 0.34, 0.66)  # next to the lens

# reflectance in the near infrared; most dark dyes are not dark here
REFLECTANCE = {
    "skin": 0.55, "hair": 0.22, "cotton": 0.62, "denim": 0.50, "wool": 0.60, "nylon": 0.42,
    "down": 0.52, "leather": 0.26, "rubber": 0.10,
}  # fmt: skip
# added to the reflected light: cloth near the skin glows
WARMTH = {
    "skin": 0.10, "hair": 0.03, "cotton": 0.05, "denim": 0.04, "wool": 0.03, "nylon": 0.05,
    "down": 0.0, "leather": 0.01, "rubber": 0.0,
}  # fmt: skip
_DYE = np.array([5.1, -7.3, 9.7], np.float32)
_GROUND = np.array([0.34, 0.30, 0.20], np.float32)


class InfraredCanvas(Canvas):
    """A canvas on which parts leave the reflected light of the lamp and their own warmth."""

    def seen(self, surface: Surface) -> np.ndarray:
        """Return one plane (1, h, w)."""
        name, color = surface.part.material.name, surface.color()
        factor = _hairy(color) if name == "skin" else _dyed(color)
        light = REFLECTANCE[name] * factor * surface.shade
        return np.asarray(light + WARMTH[name] * surface.alpha)


def infrared_scene(planes: np.ndarray) -> np.ndarray:
    """Return a scene (3, H, W) by the lamp: leaves are bright, other things fade to the corners."""
    red, green, blue = planes
    leaves = np.maximum(green - np.maximum(red, blue), 0.0)
    gray = np.tensordot(_GROUND, planes, axes=1) + 1.6 * leaves + 0.04
    height, width = gray.shape
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    gray = gray * (1.0 - 0.28 * np.minimum(x * x + y * y, 1.5))
    return np.ascontiguousarray(np.broadcast_to(gray.astype(np.float32), planes.shape))


def by_night(camera: Camera) -> Camera:
    """Return the camera without its infrared filter: gray, noisier, with higher contrast."""
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
    """Return a factor (1, ...) of skin, lower for darker parts of a head: hair absorbs the lamp.

    The visible darkness of skin matters little in the infrared.
    """
    tone = color.mean(axis=0, keepdims=True)
    return np.asarray(0.3 + 0.7 * np.minimum(tone / max(float(tone.max()), 0.05), 1.0) ** 1.5)


def _dyed(color: np.ndarray) -> np.ndarray:
    """Return a factor (1, ...) around 1: dyes differ in the infrared, unlike in the visible."""
    angle = np.tensordot(_DYE, color, axes=1)[None] + 0.9
    return np.asarray(1.0 + 0.2 * np.sin(angle))
