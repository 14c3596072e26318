"""Smaller and larger images, as Pillow up to version 11 resamples them.

Later versions give other levels for some sizes, so that Pillow's formulas stand here: box and cubic
filters, weights of 2^-22, columns and then rows. Weights come from single additions, products and
quotients of float64, in Pillow's order; IEEE 754 fixes how each is rounded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from torchreid_adv.corruptions.exact import clipped

_ONE = 1 << 22
Filter = Callable[[np.ndarray], np.ndarray]


def box(places: np.ndarray) -> np.ndarray:
    """Return 1 within (-1/2, 1/2], else 0."""
    return ((places > -0.5) & (places <= 0.5)).astype(np.float64)


def cubic(places: np.ndarray) -> np.ndarray:
    """Return the cubic of a = -1/2."""
    x = abs(places)
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


SUPPORT: dict[Filter, float] = {box: 0.5, cubic: 2.0}


def resampled(image: np.ndarray, size: tuple[int, int], by: Filter) -> np.ndarray:
    """Return an image (H, W, 3), uint8, at another height and width.

    Sums are whole numbers below 2^53, so that a product of float64 matrices is exact.

    Args:
        image: uint8 (h, w, 3).
        size: height and width.
        by: the filter, :func:`box` or :func:`cubic`.
    """
    rows, columns = (_weights(a, b, by) for a, b in zip(image.shape[:2], size, strict=True))
    wide = np.einsum("hwc->whc", image).reshape(image.shape[1], -1)
    across = _rounded(columns @ wide).reshape(size[1], image.shape[0], 3)
    high = np.einsum("whc->hwc", across).reshape(image.shape[0], -1)
    return _rounded(rows @ high).reshape(*size, 3)


def _rounded(sums: np.ndarray) -> np.ndarray:
    return clipped(np.floor(sums * (1 / _ONE) + 0.5))


@functools.lru_cache(512)
def _weights(old: int, new: int, by: Filter) -> np.ndarray:
    """Return the weights (new, old), float64 whole numbers that sum to about 2^22 in each row."""
    scale = old / new
    stretch = max(scale, 1.0)
    support = SUPPORT[by] * stretch
    centers = (np.arange(new) + 0.5) * scale
    first = np.maximum((centers - support + 0.5).astype(np.int64), 0)[:, None]
    end = np.minimum((centers + support + 0.5).astype(np.int64), old)[:, None]
    places = np.arange(old)
    weights = by((places - centers[:, None] + 0.5) * (1.0 / stretch))
    weights[(places < first) | (places >= end)] = 0
    total = np.add.accumulate(weights, axis=1)[:, -1:]  # one by one, as Pillow adds
    whole = weights * (1.0 / total) * _ONE
    return np.trunc(whole + np.where(whole < 0, -0.5, 0.5))


def repeated(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image at another height and width by repeating, or leaving out, its pixels."""
    rows, columns = map(_nearest, image.shape[:2], size)
    return image[rows[:, None], columns]


def _nearest(old: int, new: int) -> np.ndarray:
    """Return which of the old places each new one shows, found by adding steps as Pillow does."""
    steps = np.full(new, old / new)
    steps[0] *= 0.5
    return np.minimum(np.add.accumulate(steps).astype(np.int64), old - 1)
