"""Global Grayscale Transformation."""

from __future__ import annotations

import torch

from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.boxes import Box
from torchreid_adv.transforms.gray import RandomGray


@TRANSFORMS.register(
    "grayscale",
    stage="pil",
    paper="Gong et al., Robust Person Re-identification with Multi-Modal Joint Defence, 2021",
)
class Grayscale(RandomGray):
    """Whole images become gray (GGT), so that a network also learns shape.

    Args:
        p: probability that an image is changed; 0.05 in the paper.

    Example:
        >>> from PIL import Image
        >>> Grayscale(p=1.0)(Image.new("RGB", (2, 2), "red")).getpixel((0, 0))
        (76, 76, 76)
    """

    def __init__(self, *, p: float = 0.05) -> None:
        super().__init__(p=p)

    def draw_box(self, height: int, width: int, generator: torch.Generator | None) -> Box | None:
        """Return the whole image."""
        return Box(0, 0, height, width)
