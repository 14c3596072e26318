"""Homogeneous images: other looks of the same image, as a whole or in a box (LHT)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from PIL import Image

from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.auto_augment import draw_augmentation
from torchreid_adv.transforms.boxes import Box, BoxSampler
from torchreid_adv.transforms.channels import GRAY, SKETCH, Fusion
from torchreid_adv.transforms.random_transform import Mixture, RandomTransform, check_probability

PAPER = "Gong et al., Robust Person Re-identification with Multi-Modal Joint Defence, 2021"
FIXED = {"gray": GRAY, "sketch": SKETCH}


class Look(Protocol):
    """A possible look of an image, comparable by value."""

    def of(self, image: Image.Image, box: Box) -> Image.Image:
        """Return a box of an RGB image in this look, as an image of the box's size."""


class Patch(NamedTuple):
    """A box of an image, and its new look."""

    box: Box
    look: Look


class RandomHomogeneous(RandomTransform[Patch]):
    """A transform whose draws are patches; a patch may be as large as the image."""

    def apply(self, image: Image.Image, drawn: Patch | None) -> Image.Image:
        """Apply a draw to an RGB Pillow image of the size that it was drawn for."""
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
        mode: mode of channel fusion, see ChannelFusion.
        keep_order: as in ChannelFusion.
        legacy: AutoAugment as in the published code.

    Raises:
        ConfigError: the mode is unknown, or cannot keep the order.
    """

    def __init__(
        self, *, mode: str = "paper", keep_order: bool = False, legacy: bool = False
    ) -> None:
        self.fusion = Fusion(mode=mode, keep_order=keep_order)
        self.legacy = legacy

    def draw(self, name: str, generator: torch.Generator | None) -> Look:
        """Draw a look by name."""
        if name in FIXED:
            return FIXED[name]
        if name == "augment":
            return draw_augmentation(generator, legacy=self.legacy)
        return self.fusion.draw(name.removesuffix("_fusion"), generator)


class RandomLook(RandomHomogeneous):
    """Give the whole image at most one of several looks.

    Args:
        probabilities: name of the look -> probability.
        looks: draws looks by name.

    Raises:
        ConfigError: a value is not a probability, or they exceed 1 in total.
    """

    def __init__(self, probabilities: dict[str, float], looks: Looks) -> None:
        self.probabilities = probabilities
        self.mixture = Mixture(probabilities)
        self.looks = looks

    def draw(
        self, height: int, width: int, generator: torch.Generator | None = None
    ) -> Patch | None:
        """Draw a look of the whole image, or None."""
        name = self.mixture.draw(generator)
        return None if name is None else self.draw_patch(name, height, width, generator)

    def draw_patch(
        self, name: str, height: int, width: int, generator: torch.Generator | None
    ) -> Patch | None:
        """Draw a look by name, for the whole image."""
        return Patch(Box(0, 0, height, width), self.looks.draw(name, generator))


@TRANSFORMS.register("lht", stage="pil", title="local homogeneous transformation", paper=PAPER)
class LocalHomogeneous(RandomHomogeneous):
    """Give a random rectangle another look: gray, fused channels or AutoAugment's.

    Operations that move pixels (rotation, shear) move them within the rectangle, which then may
    not match its surroundings.

    Args:
        p: probability that an image is changed.
        gray: share of gray among the looks.
        gray_fusion: share of fusion with gray.
        sketch_fusion: share of fusion with sketch.
        augment: share of AutoAugment; the remainder leaves the image unchanged.
        mode: fusion mode, see ChannelFusion.
        keep_order: as in ChannelFusion.
        area_min: smallest area of the rectangle, share of the image.
        area_max: largest area of the rectangle, share of the image.
        ratio_min: smallest height / width of the rectangle; the largest is its inverse.
        legacy: rectangles and AutoAugment as in the published code. For reproduction only.

    Raises:
        ConfigError: a value is out of range, shares exceed 1 in total, or the mode is unknown.
    """

    def __init__(
        self,
        *,
        p: float = 0.1,
        gray: float = 0.2,
        gray_fusion: float = 0.2,
        sketch_fusion: float = 0.2,
        augment: float = 0.4,
        mode: str = "paper",
        keep_order: bool = False,
        area_min: float = 0.02,
        area_max: float = 0.4,
        ratio_min: float = 0.3,
        legacy: bool = False,
    ) -> None:
        self.p = check_probability("p", p)
        self.mixture = Mixture(
            {
                "gray": gray,
                "gray_fusion": gray_fusion,
                "sketch_fusion": sketch_fusion,
                "augment": augment,
            }
        )
        self.looks = Looks(mode=mode, keep_order=keep_order, legacy=legacy)
        self.boxes = BoxSampler(
            area_min=area_min, area_max=area_max, ratio_min=ratio_min, legacy=legacy
        )

    def draw(
        self, height: int, width: int, generator: torch.Generator | None = None
    ) -> Patch | None:
        """Draw the rectangle and its look, or None."""
        if torch.rand((), generator=generator).item() >= self.p:
            return None
        return self.draw_patch(height, width, generator)

    def draw_patch(
        self, height: int, width: int, generator: torch.Generator | None
    ) -> Patch | None:
        """Draw the rectangle and the look of an image that is changed."""
        name = self.mixture.draw(generator)
        box = self.boxes.draw(height, width, generator)
        if name is None or box is None:
            return None
        return Patch(box, self.looks.draw(name, generator))
