"""What our corruptions draw for an image, as the numbers that the published code would draw.

The stream is read again, in the order in which each kind reads it.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np

from torchreid_adv.corruptions import corrupt, noise, weather
from torchreid_adv.corruptions.draws import UNIT, Draws, content_key
from torchreid_adv.corruptions.motion import ANGLES

PYTHON = os.environ.get("CORRUPTIONS_ORACLE", "")  # a Python that has imagecorruptions 1.1.2
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "corruptions_oracle.py"
# what may differ from the published results where both draw the same: gray levels at most, and
# the share of values that may differ by more (snow and water cut at thresholds)
LIMITS = {
    "gaussian_noise": (1, 0.0), "speckle_noise": (1, 0.0), "shot_noise": (1, 0.0),
    "gaussian_blur": (1, 0.0), "glass_blur": (2, 0.0), "defocus_blur": (1, 0.0),
    "motion_blur": (1, 0.0), "zoom_blur": (1, 0.0), "fog": (1, 0.0), "snow": (2, 0.0005),
    "spatter": (2, 0.005), "brightness": (1, 0.0), "contrast": (1, 0.0), "saturate": (1, 0.0),
    "elastic_transform": (2, 0.0), "pixelate": (0, 0.0), "jpeg_compression": (0, 0.0),
    "rain": (6, 0.0),
}  # fmt: skip
BY_STATISTICS = ("impulse_noise", "frost")


def draws_of(image, kind, severity):
    """Return the arrays that the published code is to draw, in its order."""
    draws, (height, width) = Draws(content_key(image, kind, severity, 0)), image.shape[:2]
    if kind in ("gaussian_noise", "speckle_noise"):
        return [draws.normal(image.shape) / UNIT]
    if kind == "shot_noise":
        words = draws.words(image.shape, 32)
        return [noise.poisson(image, words, noise.SHOT[severity - 1])]
    if kind == "glass_blur":
        _, reach, sweeps = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[
            severity - 1
        ]
        shape = (height - 2 * reach, width - 2 * reach, 2)
        words = [draws.words(shape).astype(int) for _ in range(sweeps)]
        return [(w * 2 * reach >> 16).reshape(-1, 2) - reach for w in words]
    if kind == "motion_blur":
        return [np.array(draws.integer(ANGLES) / ANGLES)]
    if kind == "snow":
        return [draws.normal((height, width)) / UNIT, np.array(draws.integer(ANGLES) / ANGLES)]
    if kind == "spatter":
        return [draws.normal((height, width)) / UNIT]
    if kind == "elastic_transform":
        moves = draws.centered((height, width, 2), 8) / 512 + 0.5
        return [moves[..., 1], moves[..., 0]]
    if kind == "fog":
        side, shares = 1 << (max(height, width) - 1).bit_length(), []
        half = side
        while half >= 2:
            half //= 2
            shape = (side // (2 * half),) * 2
            shares += [draws.centered(shape) / 2**17 + 0.5 for _ in range(3)]
        return shares
    return _drops(draws, height, width, severity) if kind == "rain" else []


def _drops(draws, height, width, severity):
    area, length = weather.RAIN[severity - 1]
    slant, count = weather._slant(draws, width), height * width // area
    first, last = (slant, width) if slant < 0 else (0, width - slant)
    columns = first + draws.integers(last - first + 1, (count,))
    rows = draws.integers(height - length + 1, (count,))
    return [np.array(slant), np.stack([columns, rows], axis=1)]


def published(images, kinds, folder, severities=range(1, 6)):
    """Return the oracle's results: (kind, severity, place of the image) -> uint8 (H, W, 3)."""
    arrays, work, keys = {f"image{i}": image for i, image in enumerate(images)}, [], []
    for kind in kinds:
        for severity in severities:
            for i, image in enumerate(images):
                names = []
                for array in draws_of(image, kind, severity):
                    names.append(f"draws{len(arrays)}")
                    arrays[names[-1]] = array
                work.append((kind, severity, f"image{i}", names))
                keys.append((kind, severity, i))
    np.savez(folder / "work.npz", work=json.dumps(work), **arrays)
    command = [PYTHON, "-W", "ignore", str(SCRIPT)]
    subprocess.run([*command, str(folder / "work.npz"), str(folder / "done.npz")], check=True)
    done = np.load(folder / "done.npz")
    return {key: done[str(number)] for number, key in enumerate(keys)}


def differences(images, kinds, folder):
    """Return for each kind by how many gray levels each value of all images and severities is off.

    Args:
        images: uint8 arrays.
        kinds: that are compared.
        folder: for what is handed over.
    """
    gaps = {kind: [] for kind in kinds}
    for (kind, severity, i), result in published(images, kinds, folder).items():
        mine = corrupt(images[i], kind, severity=severity).astype(int)
        gaps[kind].append(abs(mine - result).reshape(-1))
    return {kind: np.concatenate(parts) for kind, parts in gaps.items()}
