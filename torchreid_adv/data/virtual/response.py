"""What a camera makes of the light: blur, color response, exposure, noise."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from torchreid_adv.data.virtual.draws import spread
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
    """Turn what is in front of a camera into the image it delivers.

    Args:
        image: float32 RGB (H, W, 3), at least as large as ``size``.
        camera: how it sees.
        rng: the draws of this image; they never depend on who is in it.
        size: height and width of the delivered image.
        grain: normal noise (H, W, 3) larger than ``size``, of which a piece is taken; drawing it
            anew for every image would take a quarter of the time.

    Returns:
        float32 RGB of that size in [0, 1].
    """
    share = spread(rng, *camera.resolution)
    small = max(8, round(size[1] * share)), max(16, round(size[0] * share))
    if small != image.shape[1::-1]:
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    sigma = camera.blur * spread(rng, 0.6, 1.5)
    if rng.random() < 0.25:  # walked while the shutter was open
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
