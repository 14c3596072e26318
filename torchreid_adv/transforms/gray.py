"""Turning a rectangle of an image to gray, as Pillow does, on Pillow images and on tensors."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from torchreid_adv.transforms.boxes import Box, cut
from torchreid_adv.transforms.random_transform import (
    RandomTransform,
    check_probability,
    tensor_size,
)

Picture = TypeVar("Picture", Image.Image, Tensor)

WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R 601, what Pillow's mode "L" is


def gray_box(image: Picture, box: Box) -> Picture:
    """Return a copy of an image in which the box is gray.

    Args:
        image: an RGB Pillow image, or a tensor (..., 3, H, W) in [0, 1]; the tensor path is
            differentiable and at most one gray level from Pillow's rounded one.
        box: the rectangle.
    """
    if isinstance(image, Tensor):
        return _gray_tensor(image, box)
    gray = cut(image, box).convert("L")
    region = Image.merge("RGB", (gray, gray, gray))
    if region.size == image.size:
        return region
    result = image.copy()
    result.paste(region, (box.left, box.top))
    return result


def _gray_tensor(images: Tensor, box: Box) -> Tensor:
    rows = slice(box.top, box.top + box.height)
    columns = slice(box.left, box.left + box.width)
    result = images.clone()
    region = images[..., rows, columns]
    weights = region.new_tensor(WEIGHTS).view(3, 1, 1)
    result[..., rows, columns] = (region * weights).sum(-3, keepdim=True)
    return result


class RandomGray(RandomTransform[Box]):
    """With a probability, a rectangle of the image becomes gray.

    Args:
        p: probability that an image is changed.

    Raises:
        ConfigError: p is no probability.
    """

    def __init__(self, *, p: float) -> None:
        self.p = check_probability("p", p)

    @abstractmethod
    def draw_box(self, height: int, width: int, generator: torch.Generator | None) -> Box | None:
        """Draw the rectangle for an image that is changed."""

    def draw(self, height: int, width: int, generator: torch.Generator | None = None) -> Box | None:
        """Draw the box that becomes gray, or None."""
        if torch.rand((), generator=generator).item() >= self.p:
            return None
        return self.draw_box(height, width, generator)

    def apply(self, image: Picture, drawn: Box | None) -> Picture:
        """Apply a draw to an RGB Pillow image or to a tensor (..., 3, H, W) in [0, 1]."""
        return image if drawn is None else gray_box(image, drawn)

    def size(self, image: Any) -> tuple[int, int]:
        """Return height and width; tensors are taken, too."""
        return tensor_size(image) if isinstance(image, Tensor) else super().size(image)
