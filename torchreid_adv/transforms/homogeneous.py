"""Homogeneous images: other looks of the same image, for the whole of it or for a box."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from PIL import Image

from torchreid_adv.transforms.auto_augment import draw_augmentation
from torchreid_adv.transforms.boxes import Box
from torchreid_adv.transforms.channels import GRAY, SKETCH, Fusion
from torchreid_adv.transforms.random_transform import Mixture, RandomTransform

PAPER = "Gong et al., Robust Person Re-identification with Multi-Modal Joint Defence, 2021"
FIXED = {"gray": GRAY, "sketch": SKETCH}


class Look(Protocol):
    """One way an image can look; a value, equal to another one that does the same."""

    def of(self, image: Image.Image, box: Box) -> Image.Image:
        """Return what a box of an RGB image looks like, as an image of the box's size."""


class Patch(NamedTuple):
    """A box of an image that gets another look."""

    box: Box
    look: Look


class RandomHomogeneous(RandomTransform[Patch]):
    """A transform whose draws are patches; one as large as the image is the new image."""

    def apply(self, image: Image.Image, drawn: Patch | None) -> Image.Image:
        """Apply a draw to an RGB Pillow image of the size it was drawn for."""
        if drawn is None:
            return image
        box, look = drawn
        region = look.of(image, box)
        if region.size == image.size:
            return region
        result = image.copy()
        result.paste(region, (box.left, box.top))
        return result


class Looks:
    """Draws looks by name: 'gray', 'sketch', 'gray_fusion', 'sketch_fusion' or 'augment'.

    Args:
        mode: of channel fusion, 'paper' or 'code'.
        keep_order: of channel fusion.
        legacy: AutoAugment as the published code has it.

    Raises:
        ConfigError: an unknown mode, or an order that the mode cannot keep.
    """

    def __init__(
        self, *, mode: str = "paper", keep_order: bool = False, legacy: bool = False
    ) -> None:
        self.fusion = Fusion(mode=mode, keep_order=keep_order)
        self.legacy = legacy

    def draw(self, name: str, generator: torch.Generator | None) -> Look:
        """Draw a look of that name."""
        if name in FIXED:
            return FIXED[name]
        if name == "augment":
            return draw_augmentation(generator, legacy=self.legacy)
        return self.fusion.draw(name.removesuffix("_fusion"), generator)


class RandomLook(RandomHomogeneous):
    """At most one of several looks for the whole image.

    Args:
        probabilities: by name of the look.
        looks: draws them.

    Raises:
        ConfigError: a value is no probability, or they add up to more than 1.
    """

    def __init__(self, probabilities: dict[str, float], looks: Looks) -> None:
        self.probabilities = probabilities
        self.mixture = Mixture(probabilities)
        self.looks = looks

    def draw(
        self, height: int, width: int, generator: torch.Generator | None = None
    ) -> Patch | None:
        """Draw the whole image's look, or None."""
        name = self.mixture.draw(generator)
        return None if name is None else self.draw_patch(name, height, width, generator)

    def draw_patch(
        self, name: str, height: int, width: int, generator: torch.Generator | None
    ) -> Patch | None:
        """Draw a look of that name for the whole image."""
        return Patch(Box(0, 0, height, width), self.looks.draw(name, generator))
