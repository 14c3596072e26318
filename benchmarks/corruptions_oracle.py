"""imagecorruptions, and CIL's rain, with given random draws: run in a separate environment.

    python corruptions_oracle.py IN.npz OUT.npz              corrupt
    python corruptions_oracle.py --time IN.npz KIND...       print milliseconds as JSON

It imports nothing of this package, because the published code needs old versions of NumPy, OpenCV
and scikit-image; ``make corruptions`` makes the environment.
"""

from __future__ import annotations

import json
import sys
import time
import types
from typing import Any

import cv2
import numpy as np
from imagecorruptions import corruptions as published
from PIL import Image
from skimage.filters import gaussian

_RAIN = ("drizzle", "heavy", "heavy", "torrential", "torrential")
_LENGTHS = {"drizzle": 10, "heavy": 30, "torrential": 60}
_DROP = (200, 200, 200)
_TURNS = 3


def smoothed(image: Any, sigma: Any = 1, multichannel: Any = None, **others: Any) -> Any:
    """Stand for a keyword that scikit-image does not have any more."""
    return gaussian(image, sigma=sigma, channel_axis=-1 if multichannel else None, **others)


published.gaussian = smoothed


class Replayed:
    """A replacement of ``np.random`` that replays earlier draws.

    Args:
        queue: the draws, in order.
    """

    def __init__(self, queue: list[np.ndarray]) -> None:
        self.queue = queue
        self.pairs: Any = iter(())

    def normal(self, loc: float = 0.0, scale: float = 1.0, size: Any = None) -> Any:
        """Return the next normal numbers."""
        return loc + scale * self.queue.pop(0)

    def poisson(self, lam: Any) -> Any:
        """Return the next counts."""
        return self.queue.pop(0)

    def uniform(self, low: float, high: float, size: Any = None) -> Any:
        """Return the next numbers of [0, 1], stretched."""
        return low + (high - low) * self.queue.pop(0)

    def randint(self, low: int, high: Any = None, size: Any = None) -> Any:
        """Return the next pair of whole numbers."""
        pair = next(self.pairs, None)
        if pair is None:
            self.pairs = iter(self.queue.pop(0))
            pair = next(self.pairs)
        return pair


def rained(image: np.ndarray, severity: int, draws: list[np.ndarray]) -> np.ndarray:
    """Return CIL's twentieth kind, by the functions of albumentations 0.5.2."""
    from albumentations.augmentations import functional

    slant, drops = draws
    length = _LENGTHS[_RAIN[severity - 1]]
    wet = functional.add_rain(
        image, int(slant), length, 1, _DROP, 2 + severity, 1, [tuple(drop) for drop in drops]
    )
    dark: np.ndarray = functional.brightness_contrast_adjust(
        wet, 1, -(0.05 + 0.05 * severity), True
    )
    return dark


def corrupted(
    kind: str, image: np.ndarray, severity: int, draws: list[np.ndarray] | None = None
) -> np.ndarray:
    """Return uint8 (H, W, 3), truncated as the protocol does.

    Args:
        kind: its name there.
        image: uint8 (H, W, 3).
        severity: from 1 to 5.
        draws: what it draws; None = its own.
    """
    if kind == "rain":
        return rained(image, severity, draws or [])
    module = types.SimpleNamespace(**vars(np))
    if draws:
        module.random = Replayed(list(draws))
    published.np = module
    return np.asarray(getattr(published, kind)(Image.fromarray(image), severity)).astype(np.uint8)


def corrupt(source: str, target: str) -> None:
    """Corrupt what a file asks for, and write the results under its numbers."""
    results: dict[str, Any] = {}
    work = np.load(source)
    for number, (kind, severity, image, names) in enumerate(json.loads(str(work["work"]))):
        draws = [work[name] for name in names]
        results[str(number)] = corrupted(kind, work[image], severity, draws)
    np.savez(target, **results)


def timed(source: str, kinds: list[str]) -> None:
    """Print the least milliseconds an image of each kind, mean over severities, as JSON."""
    cv2.setNumThreads(1)
    work = np.load(source)
    images = [work[name] for name in sorted(work.files)]
    print(json.dumps({kind: _milliseconds(kind, images) for kind in kinds}))


def _milliseconds(kind: str, images: list[np.ndarray]) -> float:
    total = 0.0
    for severity in range(1, 6):
        best = float("inf")
        for _ in range(_TURNS):
            started = time.process_time()
            for image in images:
                corrupted(kind, image, severity)
            best = min(best, time.process_time() - started)
        total += best
    return 1000 * total / len(images) / 5


if __name__ == "__main__":
    if sys.argv[1] == "--time":
        timed(sys.argv[2], sys.argv[3:])
    else:
        corrupt(sys.argv[1], sys.argv[2])
