"""Random numbers keyed by their purpose, so that draws do not depend on rendering order."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def stream(style: str, seed: int, purpose: str, *key: int) -> np.random.Generator:
    """Return the generator of a purpose and key.

    Args:
        style: name of the style, e.g. ``virtual_a``.
        seed: the user's seed, 0 or more.
        purpose: e.g. ``person``; streams of different purposes are independent.
        key: whole numbers, 0 or more, e.g. a camera and an image index.
    """
    label = zlib.crc32(f"{style}/{purpose}".encode())
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([label, seed, *key])))


def pick(rng: np.random.Generator, weights: Mapping[T, float]) -> T:
    """Draw one key of a table of weights (positive numbers of any sum)."""
    target = rng.random() * sum(weights.values())
    for name, weight in weights.items():
        target -= weight
        if target < 0:
            return name
    return name


def spread(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a float uniformly from [low, high)."""
    return low + (high - low) * rng.random()
