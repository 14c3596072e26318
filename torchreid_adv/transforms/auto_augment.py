"""AutoAugment with the policy found on ImageNet, by torchvision's operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from PIL import Image
from torchvision.transforms import AutoAugment
from torchvision.transforms import functional as F
from torchvision.transforms.functional import InterpolationMode

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.transforms.boxes import Box, cut

FILL = [128, 128, 128]
POLICIES = AutoAugment().policies  # 25 pairs of (operation, its probability, level 0-9 or None)
_LAST_LEVEL = 9


class Strength(NamedTuple):
    """The strength of an operation.

    Args:
        level: 0 to 9, on the scale of the magnitude.
        sign: 1 or -1, for operations with two directions.
        legacy: behave as the published code.
    """

    level: int
    sign: int
    legacy: bool

    def of(self, largest: float) -> float:
        """Return the magnitude, between 0 and the largest."""
        return largest * self.level / _LAST_LEVEL


class Augmentation(NamedTuple):
    """A draw of the policy: its row, which of the two operations are applied, and their signs.

    ``legacy`` turns only to the left and solarizes from 256 down instead of from 255, as the code
    published with the joint defense does.
    """

    row: int
    applied: tuple[bool, bool]
    signs: tuple[int, int]
    legacy: bool = False

    def of(self, image: Image.Image, box: Box) -> Image.Image:
        """Return the box of the image, which is augmented as a whole, for its histogram."""
        for (name, _, level), is_applied, sign in zip(
            POLICIES[self.row], self.applied, self.signs, strict=True
        ):
            if is_applied:
                strength = Strength(level or 0, sign, self.legacy)
                image = OPERATIONS[name](image, strength)
        return cut(image, box)

    def __str__(self) -> str:
        names = [
            row[0]
            for row, is_applied in zip(POLICIES[self.row], self.applied, strict=True)
            if is_applied
        ]
        return ", ".join(names) or "unchanged"


def draw_augmentation(generator: torch.Generator | None, *, legacy: bool = False) -> Augmentation:
    """Draw one of the 25 rows, and which of its operations are applied."""
    row, *draws = torch.rand(5, generator=generator).tolist()
    number = int(row * len(POLICIES))
    first, second = (draws[i] < POLICIES[number][i][1] for i in range(2))
    signs = tuple(1 if draw < 0.5 else -1 for draw in draws[2:])
    return Augmentation(number, (first, second), (signs[0], signs[1]), legacy)


def _rotate(image: Image.Image, strength: Strength) -> Image.Image:
    sign = 1 if strength.legacy else strength.sign
    turned: Image.Image = F.rotate(image, sign * strength.of(30), fill=FILL)
    return turned


def _shear(image: Image.Image, strength: Strength) -> Image.Image:
    angle = math.degrees(math.atan(strength.sign * strength.of(0.3)))
    sheared: Image.Image = F.affine(
        image,
        angle=0.0,
        translate=[0, 0],
        scale=1.0,
        shear=[angle, 0.0],
        interpolation=InterpolationMode.BICUBIC,
        fill=FILL,
        center=[0, 0],
    )
    return sheared


def _solarize(image: Image.Image, strength: Strength) -> Image.Image:
    highest = LEVELS + strength.legacy
    solarized: Image.Image = F.solarize(image, highest - strength.of(highest))
    return solarized


def _enhance(adjust: Callable[..., Image.Image]) -> Callable[..., Image.Image]:
    return lambda image, s: adjust(image, 1 + s.sign * s.of(0.9))


OPERATIONS: dict[str, Callable[[Image.Image, Strength], Image.Image]] = {
    "AutoContrast": lambda image, _: F.autocontrast(image),
    "Color": _enhance(F.adjust_saturation),
    "Contrast": _enhance(F.adjust_contrast),
    "Equalize": lambda image, _: F.equalize(image),
    "Invert": lambda image, _: F.invert(image),
    "Posterize": lambda image, s: F.posterize(image, 8 - round(s.of(4))),
    "Rotate": _rotate,
    "Sharpness": _enhance(F.adjust_sharpness),
    "ShearX": _shear,
    "Solarize": _solarize,
}
