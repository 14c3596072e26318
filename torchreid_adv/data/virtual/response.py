"""What a camera makes of the light: blur, color response, exposure, noise."""

from __future__ import annotations

import cv2
import numpy as np

from torchreid_adv.data.virtual.draws import spread
from torchreid_adv.data.virtual.style import Camera

_LUMA = np.asarray((0.299, 0.587, 0.114), np.float32)


def respond(
    image: np.ndarray, camera: Camera, rng: np.random.Generator, size: tuple[int, int]
) -> np.ndarray:
    """Turn what is in front of a camera into the image it delivers.

    Args:
        image: float32 RGB (H, W, 3), at least as large as ``size``.
        camera: how it sees.
        rng: the draws of this image; they never depend on who is in it.
        size: height and width of the delivered image.

    Returns:
        float32 RGB of that size in [0, 1].
    """
    share = spread(rng, *camera.resolution)
    small = max(8, round(size[1] * share)), max(16, round(size[0] * share))
    image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    sigma = camera.blur * spread(rng, 0.6, 1.5)
    if rng.random() < 0.25:  # walked while the shutter was open
        image = cv2.blur(image, (int(rng.integers(2, 4)), 1))
    if sigma > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)
    image = _color(np.maximum(image, 0.0), camera, rng)
    grain = rng.standard_normal((*size, 1), dtype=np.float32)
    tint = rng.standard_normal(image.shape, dtype=np.float32)
    image += np.float32(camera.noise) * (0.8 * grain + 0.5 * tint)
    return np.asarray(np.clip(image, 0.0, 1.0))


def _color(image: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    drift = 1.0 + 0.03 * rng.standard_normal(3)
    gains = np.asarray(camera.gains) * drift * np.exp(camera.exposure * rng.standard_normal())
    image = image * gains.astype(np.float32)
    np.power(image, np.float32(camera.gamma), out=image)
    gray = (image @ _LUMA)[..., None]
    image = gray + np.float32(camera.saturation) * (image - gray)
    slope = np.linspace(-1, 1, image.shape[0], dtype=np.float32)[:, None, None]
    light = 1.0 + np.float32(0.08 * rng.standard_normal()) * slope
    middle = np.float32(0.45)
    return (middle + np.float32(camera.contrast) * (image * light - middle)) * np.float32(
        1.0 - camera.haze
    ) + np.float32(camera.haze)
