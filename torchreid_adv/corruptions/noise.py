"""Noise: Gaussian, shot, impulse and speckle noise.

Parameters are those of Michaelis et al. (2019), after Hendrycks and Dietterich (ICLR 2019). Levels
are truncated, as there. Departures: normal numbers end at 4.3 deviations, shares are exact to
2^-16, and Poisson counts come from a table of 2^-32 steps.
"""

from __future__ import annotations

import functools
from decimal import Decimal

import numpy as np

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.corruptions.base import Conditions, corruption
from torchreid_adv.corruptions.draws import QUANTILES, UNIT, normal_table
from torchreid_adv.corruptions.exact import clipped

GAUSSIAN = (8, 12, 18, 26, 38)  # deviation, hundredths of the range
SHOT = (60, 25, 12, 5, 3)  # events at full brightness
IMPULSE = (3, 6, 9, 17, 27)  # share of channel values, hundredths
SPECKLE = (15, 20, 35, 45, 60)  # deviation, hundredths of the level
_WORD = 1 << 32
_GUIDE = 256


@corruption("gaussian_noise", family="noise", title="add normal noise, as in low light")
def gaussian_noise(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return x + N(0, c)."""
    steps = _gaussian_steps(how.pick(GAUSSIAN))
    return clipped(image + steps[how.draws.words(image.shape)])


@functools.cache
def _gaussian_steps(hundredths: int) -> np.ndarray:
    """Return by how many levels each drawn word moves a pixel, rounded down, int16."""
    moved = hundredths * LEVELS * normal_table().astype(np.int64) // (100 * UNIT)
    return moved.astype(np.int16)


@corruption("speckle_noise", family="noise", title="add normal noise in proportion to brightness")
def speckle_noise(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return x + x N(0, c)."""
    drawn = how.draws.normal(image.shape).astype(np.int32)
    factor = drawn * how.pick(SPECKLE) + 100 * UNIT
    return clipped(image * factor // (100 * UNIT))


@corruption("impulse_noise", family="noise", title="set single channel values to black or white")
def impulse_noise(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return x with a share of its channel values replaced, half each by 0 and by 1."""
    words = how.draws.words(image.shape)
    share = how.pick(IMPULSE) * QUANTILES // 100
    noisy = np.where(words < share // 2, np.uint8(LEVELS), image)
    noisy[(words >= share // 2) & (words < share)] = 0
    return noisy


@corruption("shot_noise", family="noise", title="replace levels by counts of few photons")
def shot_noise(image: np.ndarray, how: Conditions) -> np.ndarray:
    """Return Poisson(c x) / c."""
    events = how.pick(SHOT)
    counts = poisson(image, how.draws.words(image.shape, 32), events)
    levels = np.minimum(np.arange(256 + events) * LEVELS // events, LEVELS).astype(np.uint8)
    return levels[counts]


def poisson(image: np.ndarray, words: np.ndarray, events: int) -> np.ndarray:
    """Return counts whose mean is ``events`` times the level of [0, 1].

    A word of 32 bits is looked up in the distribution of its level. A guide by its first eight
    bits says where to begin, and few values have further to go.

    Args:
        image: uint8 of any shape.
        words: uint32 of that shape.
        events: mean count at full brightness.

    Returns:
        counts, int64.
    """
    table, guide = _thresholds(events)
    level, drawn = image.reshape(-1).astype(np.int64), words.reshape(-1)
    counts = guide.reshape(-1)[level * _GUIDE + (drawn >> 24)].astype(np.int64)
    flat, width = table.reshape(-1), table.shape[1]
    left = np.flatnonzero(flat[level * width + counts] <= drawn)
    while len(left):
        counts[left] += 1
        left = left[flat[level[left] * width + counts[left]] <= drawn[left]]
    return counts.reshape(image.shape)


@functools.cache
def _thresholds(events: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each level the words (K,) below which a count stays, and the guide (256,)."""
    rows = [_cumulative(Decimal(events * level) / LEVELS) for level in range(LEVELS + 1)]
    width = max(map(len, rows))
    table = np.full((LEVELS + 1, width + 1), _WORD, np.uint64)
    for level, row in enumerate(rows):
        table[level, : len(row)] = row
    starts = np.arange(_GUIDE, dtype=np.uint64) << np.uint64(24)
    guide = np.stack([np.searchsorted(row, starts, side="right") for row in table])
    return table, guide.astype(np.uint8)


def _cumulative(mean: Decimal) -> list[int]:
    """Return the cumulative Poisson distribution in units of 2^-32, up to the last below one."""
    share = (-mean).exp()
    total, count, thresholds = share, 0, []
    while (threshold := int(total * _WORD + Decimal("0.5"))) < _WORD:
        thresholds.append(threshold)
        count += 1
        share = share * mean / count
        total += share
    return thresholds
