"""Shared parts of images of a camera or a set: its scene, and stored noise to cut from."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from torchreid_adv.data.virtual.draws import spread, stream
from torchreid_adv.data.virtual.scenes import noise, panorama
from torchreid_adv.data.virtual.style import Style
from torchreid_adv.data.virtual.styles import style_named

_SCENE = (240, 720)  # rows and columns of a panorama
_NOISE = (1024, 640)  # rows and columns of stored noise, more than the largest canvas


@functools.lru_cache(maxsize=16)
def _scene(name: str, seed: int, camid: int) -> np.ndarray:
    camera = style_named(name).cameras[camid]
    rng = stream(name, seed, "scene", camid)
    return panorama(camera.scene, rng, height=_SCENE[0], width=_SCENE[1])


def background(
    style: Style,
    seed: int,
    camid: int,
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    shift: float = 0.0,
) -> np.ndarray:
    """Cut a piece out of the camera's panorama, at its own zoom; planes (3, H, W).

    Args:
        style: style with the camera.
        seed: seed of the set.
        camid: camera, from 0.
        rng: random numbers of zoom and position.
        size: height and width in pixels.
        shift: shift of the piece to the right, in its pixels.
    """
    scene = _scene(style.name, seed, camid)
    zoom = size[0] / (_SCENE[0] * spread(rng, 0.62, 0.95))
    x = spread(rng, 0.0, _SCENE[1] - size[1] / zoom)
    y = spread(rng, 0.0, _SCENE[0] - size[0] / zoom)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    x += flip * shift / zoom
    matrix = np.array([[flip / zoom, 0, x if flip > 0 else x + size[1] / zoom], [0, 1 / zoom, y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    piece = cv2.warpAffine(scene, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(piece.transpose(2, 0, 1))


def folds(style: Style, seed: int, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Cut a piece (H, W) of creased cloth: noise around 0 that shades clothes."""
    cloth = _creased(style.name, seed)
    y = int(rng.integers(cloth.shape[0] - size[0]))
    x = int(rng.integers(cloth.shape[1] - size[1]))
    return cloth[y : y + size[0], x : x + size[1]]


@functools.lru_cache(maxsize=3)
def _creased(name: str, seed: int) -> np.ndarray:
    rng, shape = stream(name, seed, "folds"), _NOISE
    return 0.6 * noise(rng, shape, 9) + 0.5 * noise(rng, shape, 4)


@functools.lru_cache(maxsize=3)
def grain(name: str, seed: int) -> np.ndarray:
    """Return the normal noise (H, W, 3) from which images of a set take pieces."""
    return stream(name, seed, "grain").standard_normal((*_NOISE, 3), dtype=np.float32)
