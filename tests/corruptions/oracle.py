"""Run by the Python of the oracle's environment: imagecorruptions with the draws that it is given.

    python oracle.py IN.npz OUT.npz        corrupt
    python oracle.py --time IN.npz         print milliseconds by kind, as JSON

This file imports nothing of the package, whose versions of NumPy and OpenCV are other ones.
"""

import json
import sys
import time
import types

import numpy as np
from imagecorruptions import corruptions as published
from PIL import Image

PILLOW = ("jpeg_compression", "pixelate", "spatter")  # take an image, not an array


def smoothed(image, sigma=1, multichannel=None, **others):
    """Stand for the old keyword, which scikit-image has no more."""
    from skimage.filters import gaussian

    return gaussian(image, sigma=sigma, channel_axis=-1 if multichannel else None, **others)


published.gaussian = smoothed


def rain(image, severity):
    """Return CIL's twentieth kind, by albumentations 0.5.2 as its functions are."""
    from albumentations.augmentations import functional

    kind = ("drizzle", "heavy", "heavy", "torrential", "torrential")[severity - 1]
    length = {"drizzle": 10, "heavy": 30, "torrential": 60}[kind]
    slant, drops = replayed.take(), replayed.take()
    wet = functional.add_rain(
        np.array(image), int(slant), length, 1, (200, 200, 200), 2 + severity, 1, drops.tolist()
    )
    return functional.brightness_contrast_adjust(wet, 1, -(0.05 + 0.05 * severity), True)


class Replayed:
    """np.random, with what was drawn before."""

    def __init__(self):
        self.queue = []

    def take(self):
        return self.queue.pop(0)

    def normal(self, loc=0.0, scale=1.0, size=None):
        return loc + scale * self.take()

    def poisson(self, lam):
        return self.take()

    def uniform(self, low, high, size=None):
        return low + (high - low) * self.take()

    def randint(self, low, high=None, size=None):
        pairs = self.queue[0]
        if not hasattr(self, "pairs"):
            self.pairs = iter(pairs)
        pair = next(self.pairs, None)
        if pair is None:
            self.queue.pop(0)
            self.pairs = iter(self.queue[0])
            pair = next(self.pairs)
        return pair


replayed = Replayed()


def apply(kind, image, severity):
    """Return uint8 (H, W, 3), truncated as the protocol does."""
    if kind == "rain":
        return np.uint8(rain(image, severity))
    given = Image.fromarray(image)
    return np.uint8(getattr(published, kind)(given, severity))


def corrupt(source, target):
    work, results = np.load(source, allow_pickle=False), {}
    for number, (kind, severity, image, draws) in enumerate(json.loads(str(work["work"]))):
        replayed.queue = [work[name] for name in draws]
        vars(replayed).pop("pairs", None)
        module = types.SimpleNamespace(**vars(np))
        if draws:
            module.random = replayed
        published.np = module
        results[str(number)] = apply(kind, work[image], severity)
    np.savez(target, **results)


def timed(source):
    """Print the best milliseconds of each kind and severity over the images of a file."""
    work = np.load(source, allow_pickle=False)
    images = [work[name] for name in sorted(work.files)]
    kinds = json.loads(sys.stdin.read())
    found = {}
    for kind in kinds:
        for severity in range(1, 6):
            best = float("inf")
            for _ in range(2):
                started = time.process_time()
                for image in images:
                    apply(kind, image, severity)
                best = min(best, (time.process_time() - started) / len(images))
            found[f"{kind} {severity}"] = 1000 * best
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1] == "--time":
        import cv2

        cv2.setNumThreads(1)
        timed(sys.argv[2])
    else:
        corrupt(sys.argv[1], sys.argv[2])
