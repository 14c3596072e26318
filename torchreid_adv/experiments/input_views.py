"""Changed views of an image: shifted colors, gray, only the body, only the background.

They show which parts of an image a network uses. Each is applied like a defense.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torchreid_adv.core.pixels import from_levels
from torchreid_adv.defenses.base import Defense
from torchreid_adv.transforms.boxes import Box
from torchreid_adv.transforms.grayscale import gray_box

SHIFT = (-8.0, 8.0, 8.0)  # gray levels of red, green and blue
BODY = (0.04, 0.96, 0.25, 0.75)  # top, bottom, left and right of the body's box, shares of the side
FILL = 0.5  # value of hidden pixels


class ColorShift(Defense):
    """Adds the same number of gray levels to every pixel of a channel.

    Args:
        shift: gray levels of red, green and blue.
    """

    def __init__(self, shift: tuple[float, float, float] = SHIFT) -> None:
        super().__init__()
        self.shift = shift

    def exact(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Return the shifted images (N, 3, H, W), clipped to [0, 1]."""
        shift = images.new_tensor([from_levels(level) for level in self.shift])
        return (images + shift[:, None, None]).clamp(0, 1)

    def describe(self) -> dict[str, Any]:
        """Return the shift."""
        return {**super().describe(), "shift": list(self.shift)}


class Gray(Defense):
    """Keeps only brightness, in all three channels."""

    def exact(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Return the gray images (N, 3, H, W)."""
        height, width = images.shape[-2:]
        return gray_box(images, Box(0, 0, height, width))


class Crop(Defense):
    """Keeps the middle of an image, where the body is, or everything else; the size is unchanged.

    Args:
        body: keep the body; otherwise the background.
    """

    def __init__(self, *, body: bool) -> None:
        super().__init__()
        self.body = body

    def exact(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Return the images (N, 3, H, W) with medium gray in the hidden part."""
        height, width = images.shape[-2:]
        top, bottom = (round(share * height) for share in BODY[:2])
        left, right = (round(share * width) for share in BODY[2:])
        inside = torch.zeros(height, width, dtype=torch.bool, device=images.device)
        inside[top:bottom, left:right] = True
        return torch.where(inside == self.body, images, FILL)

    def describe(self) -> dict[str, Any]:
        """Return the kept part and the box."""
        return {**super().describe(), "body": self.body, "box": list(BODY)}
