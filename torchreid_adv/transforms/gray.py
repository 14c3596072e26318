"""Turning a rectangle of an image to gray, as Pillow does, on Pillow images and on tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from torchreid_adv.errors import ConfigError
from torchreid_adv.transforms.boxes import Box

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
    result = image.copy() if image.mode == "RGB" else image.convert("RGB")
    corners = (box.left, box.top, box.left + box.width, box.top + box.height)
    result.paste(result.crop(corners).convert("L"), corners[:2])
    return result


def _gray_tensor(images: Tensor, box: Box) -> Tensor:
    rows = slice(box.top, box.top + box.height)
    columns = slice(box.left, box.left + box.width)
    result = images.clone()
    region = images[..., rows, columns]
    weights = region.new_tensor(WEIGHTS).view(3, 1, 1)
    result[..., rows, columns] = (region * weights).sum(-3, keepdim=True)
    return result


class RandomGray(ABC):
    """With a probability, a rectangle of the image becomes gray.

    Args:
        p: probability that an image is changed.

    Raises:
        ConfigError: p is no probability.
    """

    def __init__(self, *, p: float) -> None:
        if not 0 <= p <= 1:
            raise ConfigError(f"p is a probability in [0, 1], got {p}")
        self.p = p

    @abstractmethod
    def draw_box(self, height: int, width: int, generator: torch.Generator | None) -> Box | None:
        """Draw the rectangle for an image that is changed."""

    def draw(self, height: int, width: int, generator: torch.Generator | None = None) -> Box | None:
        """Draw what happens to an image of that size: the box that becomes gray, or None.

        Args:
            height: of the image, pixels.
            width: of the image, pixels.
            generator: PyTorch's global one when it is not given, which torch seeds per worker.
        """
        if torch.rand((), generator=generator).item() >= self.p:
            return None
        return self.draw_box(height, width, generator)

    def apply(self, image: Picture, box: Box | None) -> Picture:
        """Apply a draw to an RGB Pillow image or to a tensor (..., 3, H, W) in [0, 1]."""
        return image if box is None else gray_box(image, box)

    def __call__(self, image: Picture) -> Picture:
        """Draw and apply."""
        if isinstance(image, Tensor):
            height, width = image.shape[-2:]
        else:
            width, height = image.size
        return self.apply(image, self.draw(height, width))
