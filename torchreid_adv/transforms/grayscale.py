"""Grayscale transformations: global (GGT), of the whole image, and local (LGT), of a rectangle."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from torchreid_adv.registry import TRANSFORMS
from torchreid_adv.transforms.boxes import Box, BoxSampler, cut
from torchreid_adv.transforms.random_transform import (
    RandomTransform,
    check_probability,
    tensor_size,
)

Picture = TypeVar("Picture", Image.Image, Tensor)

WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R 601, as in Pillow's mode "L"


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
    """Turn a rectangle of the image gray, with a given probability.

    Args:
        p: probability that an image is changed.

    Raises:
        ConfigError: p is not a probability.
    """

    def __init__(self, *, p: float) -> None:
        self.p = check_probability("p", p)

    @abstractmethod
    def draw_box(self, height: int, width: int, generator: torch.Generator | None) -> Box | None:
        """Draw the rectangle of an image that is changed."""

    def draw(self, height: int, width: int, generator: torch.Generator | None = None) -> Box | None:
        """Draw the box to turn gray, or None."""
        if torch.rand((), generator=generator).item() >= self.p:
            return None
        return self.draw_box(height, width, generator)

    def apply(self, image: Picture, drawn: Box | None) -> Picture:
        """Apply a draw to an RGB Pillow image or a tensor (..., 3, H, W) in [0, 1]."""
        return image if drawn is None else gray_box(image, drawn)

    def size(self, image: Any) -> tuple[int, int]:
        """Return height and width of an image or tensor."""
        return tensor_size(image) if isinstance(image, Tensor) else super().size(image)


@TRANSFORMS.register(
    "grayscale",
    stage="pil",
    paper="Gong et al., Robust Person Re-identification with Multi-Modal Joint Defence, 2021",
)
class Grayscale(RandomGray):
    """Turn whole images gray (GGT), so that a network also learns shape.

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


@TRANSFORMS.register(
    "lgt",
    stage="pil",
    title="local grayscale",
    paper="Gong et al., Robust Person Re-identification with Multi-Modal Joint Defence, 2021",
)
class LocalGrayscale(RandomGray):
    """Turn a random rectangle of the image gray.

    The code published with the paper swaps Pillow's (width, height) when it places the rectangle,
    which makes it smaller and squarer than described; see ``legacy``.

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
        """Draw the rectangle, or None in the rare case that 100 attempts fail."""
        return self.boxes.draw(height, width, generator)
