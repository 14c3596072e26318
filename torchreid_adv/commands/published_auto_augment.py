"""AutoAugment as the code published with the joint defense does it, see published_transforms."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from torchvision.transforms import AutoAugment

from torchreid_adv.pixels import LEVELS

_GRAY = 128
Operation = Callable[[Image.Image, float], Image.Image]
Row = list[tuple[float, Operation, float]]


def policy() -> list[Row]:
    """Build AutoAugment's table, with the magnitudes of all operations for each of its rows."""
    rows = []
    for row in AutoAugment().policies:
        magnitudes = _magnitudes()
        rows.append([(p, OPERATIONS[name], magnitudes[name][level or 0]) for name, p, level in row])
    return rows


def augmented(image: Image.Image, table: list[Row]) -> Image.Image:
    """Return the image after a random row of the table."""
    for p, operation, magnitude in random.choice(table):
        if random.random() < p:
            image = operation(image, magnitude)
    return image


def _magnitudes() -> dict[str, Any]:
    """Return the ten magnitudes of every operation."""
    factors = {name: np.linspace(0.0, 0.9, 10) for name in ("Color", "Contrast", "Sharpness")}
    return {
        **factors,
        "Posterize": np.round(np.linspace(8, 4, 10)).astype(int),
        "Solarize": np.linspace(LEVELS + 1, 0, 10),
        "Rotate": np.linspace(0, 30, 10),
        "ShearX": np.linspace(0, 0.3, 10),
        **{name: [0.0] * 10 for name in ("AutoContrast", "Equalize", "Invert")},
    }


def _enhance(kind: Any) -> Operation:
    def enhance(image: Image.Image, magnitude: float) -> Image.Image:
        changed: Image.Image = kind(image).enhance(1 + magnitude * random.choice([-1, 1]))
        return changed

    return enhance


def _rotate(image: Image.Image, degrees: float) -> Image.Image:
    turned = image.convert("RGBA").rotate(degrees)
    ground = Image.new("RGBA", turned.size, (_GRAY,) * 4)
    return Image.composite(turned, ground, turned).convert(image.mode)


def _shear(image: Image.Image, share: float) -> Image.Image:
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        (1, share * random.choice([-1, 1]), 0, 0, 1, 0),
        Image.Resampling.BICUBIC,
        fillcolor=(_GRAY,) * 3,
    )


OPERATIONS: dict[str, Operation] = {
    "AutoContrast": lambda image, _: ImageOps.autocontrast(image),
    "Color": _enhance(ImageEnhance.Color),
    "Contrast": _enhance(ImageEnhance.Contrast),
    "Equalize": lambda image, _: ImageOps.equalize(image),
    "Invert": lambda image, _: ImageOps.invert(image),
    "Posterize": lambda image, bits: ImageOps.posterize(image, int(bits)),
    "Rotate": _rotate,
    "Sharpness": _enhance(ImageEnhance.Sharpness),
    "ShearX": _shear,
    "Solarize": lambda image, threshold: ImageOps.solarize(image, threshold),  # type: ignore[arg-type]
}
