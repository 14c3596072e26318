"""Local Homogeneous Transformation (LHT)."""

from __future__ import annotations

import torch

from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.boxes import BoxSampler
from torchreid_adv.transforms.homogeneous import PAPER, Looks, Patch, RandomHomogeneous
from torchreid_adv.transforms.random_transform import Mixture, check_probability


@TRANSFORMS.register("lht", stage="pil", title="local homogeneous transformation", paper=PAPER)
class LocalHomogeneous(RandomHomogeneous):
    """A random rectangle gets another look: gray, fused channels or AutoAugment's.

    Operations that move pixels (rotation, shear) move them within the rectangle, too, so that it
    does not always fit its surroundings.

    Args:
        p: probability that an image is changed.
        gray: share of gray among the looks.
        gray_fusion: share of fusion with gray.
        sketch_fusion: share of fusion with sketch.
        augment: share of AutoAugment; what is missing to 1 leaves the image as it is.
        mode: of the fusion, 'paper' or 'code'.
        keep_order: of the fusion.
        area_min: smallest area of the rectangle, share of the image.
        area_max: largest area of the rectangle, share of the image.
        ratio_min: smallest height / width of the rectangle; the largest is its inverse.
        legacy: rectangles and AutoAugment as the published code has them. For reproduction only.

    Raises:
        ConfigError: a value out of range, shares that add up to more than 1, an unknown mode.
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
