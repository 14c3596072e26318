"""Local Grayscale Transformation (LGT)."""

from __future__ import annotations

import torch

from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.boxes import Box, BoxSampler
from torchreid_adv.transforms.gray import RandomGray


@TRANSFORMS.register(
    "lgt",
    stage="pil",
    title="local grayscale",
    paper="Gong et al., Robust Person Re-identification with Multi-Modal Joint Defence, 2021",
)
class LocalGrayscale(RandomGray):
    """A random rectangle of the image becomes gray.

    The code published with the paper takes Pillow's (width, height) for (height, width) when it
    places the rectangle, which makes it smaller and squarer than described; see ``legacy``.

    Args:
        p: probability that an image is changed; training uses 0.4, the attack LTA 1.
        area_min: smallest area of the rectangle, share of the image.
        area_max: largest area of the rectangle, share of the image.
        ratio_min: smallest height / width of the rectangle; the largest is its inverse.
        legacy: place rectangles as the published code does. For reproduction only.

    Example:
        >>> from PIL import Image
        >>> lgt = LocalGrayscale(p=1.0)
        >>> box = lgt.draw(256, 128)
        >>> lgt.apply(Image.new("RGB", (128, 256), "red"), box).size
        (128, 256)
    """

    def __init__(
        self,
        *,
        p: float = 0.4,
        area_min: float = 0.02,
        area_max: float = 0.4,
        ratio_min: float = 0.3,
        legacy: bool = False,
    ) -> None:
        super().__init__(p=p)
        self.boxes = BoxSampler(
            area_min=area_min, area_max=area_max, ratio_min=ratio_min, legacy=legacy
        )

    def draw_box(self, height: int, width: int, generator: torch.Generator | None) -> Box | None:
        """Draw the rectangle, or None in the rare case that 100 attempts do not fit."""
        return self.boxes.draw(height, width, generator)
