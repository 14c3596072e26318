"""Random numbers that are the same on every machine: whole numbers of Philox, seeded by content.

NumPy promises the raw integers of a bit generator, not its distributions. So normal numbers come
from a table of quantiles, and everything else from multiplication and shifts.
"""

from __future__ import annotations

import functools
import hashlib
from math import prod
from statistics import NormalDist

import numpy as np

from torchreid_adv.errors import AdvError

TAG = "torchreid_adv corruption 1"  # a version of any kind with other bytes takes another number
UNIT = 4096  # of normal(): one standard deviation
QUANTILES = 1 << 16
NORMAL_SHA256 = "1ea009ce409dac97d6bd609266910f809c5fb912f78e16bd89145b08174d6fc5"


def content_key(image: np.ndarray, *facts: str | int) -> bytes:
    """Return the 16 bytes that seed the random draws of an image.

    The file's name and its encoding do not count: a renamed image, or one that is stored without
    loss in another format, is corrupted in the same way.

    Args:
        image: uint8 (H, W, 3).
        facts: what else decides the draws, such as kind, severity and draw number.
    """
    digest = hashlib.sha256(TAG.encode())
    for fact in facts:
        digest.update(f"|{fact}".encode())
    digest.update(np.asarray(image.shape, "<i4").tobytes())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.digest()[:16]


class Draws:
    """A stream of random numbers.

    Args:
        key: 16 bytes, see :func:`content_key`.
    """

    def __init__(self, key: bytes) -> None:
        self._philox = np.random.Philox(key=int.from_bytes(key, "little"))

    def words(self, shape: tuple[int, ...], bits: int = 16) -> np.ndarray:
        """Return independent whole numbers of 8, 16 or 32 bits, uint8, uint16 or uint32."""
        count = prod(shape)
        raw = self._philox.random_raw(-(-count * bits // 64)).astype("<u8", copy=False)
        words: np.ndarray = raw.view(f"<u{bits // 8}")[:count].reshape(shape)
        return words

    def integers(self, below: int, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Return whole numbers from 0 to ``below`` - 1, int64; their shares differ by 2^-32."""
        return (self.words(shape, 32).astype(np.int64) * below) >> 32

    def integer(self, below: int) -> int:
        """Return one whole number from 0 to ``below`` - 1."""
        return int(self.integers(below))

    def centered(self, shape: tuple[int, ...], bits: int = 16) -> np.ndarray:
        """Return odd numbers, int32: uniform in [-1, 1] in units of 2^-bits."""
        words = self.words(shape, bits).astype(np.int32)
        words <<= 1
        words -= (1 << bits) - 1
        return words

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return normal numbers in whole units of 1/:data:`UNIT`, int16, within 4.3 deviations."""
        drawn: np.ndarray = normal_table()[self.words(shape)]
        return drawn


@functools.cache
def normal_table() -> np.ndarray:
    """Return the quantiles (i + .5) / 65536 of the normal distribution, int16 in 1/:data:`UNIT`.

    Raises:
        AdvError: this machine's logarithms give another table.
    """
    quantile = NormalDist().inv_cdf
    values = (round(quantile((place + 0.5) / QUANTILES) * UNIT) for place in range(QUANTILES))
    table = np.fromiter(values, "<i2", QUANTILES)
    if hashlib.sha256(table.tobytes()).hexdigest() != NORMAL_SHA256:
        raise AdvError(
            "this machine computes another table of normal numbers, so that its corrupted images "
            "would not be those of others; please report it with the version of Python"
        )
    return table
