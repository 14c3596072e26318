"""The transforms as in the code published with the joint defense, measured next to ours."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from torchvision.transforms import AutoAugment

from torchreid_adv.core.pixels import LEVELS

_GRAY = 128
Operation = Callable[[Image.Image, float], Image.Image]
Row = list[tuple[float, Operation, float]]


def policy() -> list[Row]:
    """Build AutoAugment's table, with the magnitudes of all operations for every row."""
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


def seed(number: int) -> None:
    """Seed what these functions draw from."""
    random.seed(number)


def gray(image: Image.Image) -> Image.Image:
    """Return the gray image, as torchvision's ``Grayscale(3)`` makes it."""
    levels = np.array(image.convert("L"), dtype=np.uint8)
    return Image.fromarray(np.dstack([levels, levels, levels]))


def sketch(gray: Image.Image) -> Image.Image:
    """Return the sketch of a gray image."""
    levels = np.asarray(gray)
    blur = cv2.GaussianBlur(LEVELS - levels, ksize=(27, 27), sigmaX=0, sigmaY=0)
    return Image.fromarray(np.asarray(cv2.divide(levels, LEVELS - blur, scale=LEVELS + 1)))


def whole_sketch(image: Image.Image) -> Image.Image:
    """Return the sketch of an image in three channels."""
    drawn = sketch(image.convert("L"))
    return Image.merge("RGB", [drawn, drawn, drawn])


def fused(image: Image.Image, modality: Image.Image) -> Image.Image:
    """Return three of the image's channels and two copies of the other modality, shuffled."""
    channels = [*image.split(), modality, modality]
    random.shuffle(channels)
    return Image.merge("RGB", channels[:3])


def fusion(image: Image.Image) -> Image.Image:
    """Return the image fused with gray or with its sketch, each as likely."""
    level = image.convert("L")
    return fused(image, level if random.random() < 0.5 else sketch(level))


def pasted(image: Image.Image, other: np.ndarray) -> Image.Image:
    """Return the image with a rectangle of the other; height and width are mixed up."""
    rows, columns = image.size
    for _ in range(100):
        area = random.uniform(0.02, 0.4) * rows * columns
        ratio = random.uniform(0.3, 1 / 0.3)
        height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if height < rows and width < columns:
            left, top = random.randint(0, rows - height), random.randint(0, columns - width)
            result = np.asarray(image).astype(float)
            box = slice(top, top + height), slice(left, left + width)
            for channel in range(3):
                result[(*box, channel)] = other[(*box, channel)]
            return Image.fromarray(result.astype(np.uint8))
    return image


def local_gray(image: Image.Image) -> Image.Image:
    """Return the image with a gray rectangle."""
    levels = np.array(image.convert("L"), dtype=np.uint8)
    return pasted(image, np.dstack([levels, levels, levels]))


class Diversity:
    """Diversity learning. The published code builds AutoAugment's table for each image.

    Args:
        lht: probability of the local transformation; 0 for the global variant.
        augment: probability of AutoAugment.
        table: returns AutoAugment's table.
    """

    def __init__(
        self, *, lht: float = 0.1, augment: float = 0.05, table: Callable[[], list[Row]] = policy
    ) -> None:
        self.whole = {"gray": 0.05, "gray_fusion": 0.01, "sketch_fusion": 0.01, "augment": augment}
        self.lht = lht
        self.table = table

    def __call__(self, image: Image.Image) -> Image.Image:
        """Draw and apply."""
        channels, level = image.split(), image.convert("L")
        del channels  # split for every image, whatever is drawn
        names = [*self.whole, "lht", "nothing"]
        weights = [*self.whole.values(), self.lht]
        (name,) = random.choices(names, [*weights, 1 - sum(weights)])
        if name == "lht":
            return self.local(image)
        return self.look(name, image, level)

    def local(self, image: Image.Image) -> Image.Image:
        """Return the image with a rectangle of a whole other look."""
        channels, level = image.split(), image.convert("L")
        del channels
        shares = {"gray": 0.2, "gray_fusion": 0.2, "sketch_fusion": 0.2, "augment": 0.4}
        (name,) = random.choices(list(shares), list(shares.values()))
        return pasted(image, np.array(self.look(name, image, level), dtype=np.uint8))

    def look(self, name: str, image: Image.Image, level: Image.Image) -> Image.Image:
        """Return the whole image with a look."""
        if name == "gray":
            return Image.merge("RGB", [level, level, level])
        if name == "gray_fusion":
            return fused(image, level)
        if name == "sketch_fusion":
            return fused(image, sketch(level))
        return augmented(image, self.table()) if name == "augment" else image
