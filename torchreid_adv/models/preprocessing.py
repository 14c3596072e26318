"""Preprocessing of a network's input, for files and in a differentiable form.

The two forms are independent. The one for files works on whole levels, exactly as in the source,
and is used for scores; the other one is differentiable and differs from it by the rounding of the
first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision import transforms as T

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.models.resizing import RESIZES, FileResize, Resize

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
ORDERS = ("rgb", "bgr")
RANGES = (1, LEVELS)


@dataclass(frozen=True)
class Preprocessing:
    """Resize, range, normalization and channel order, in this order.

    Args:
        size: height and width of the network's input.
        mean: mean of red, green and blue, in any channel order; in units of ``range``.
        std: standard deviation of red, green and blue, positive, in units of ``range``.
        resize: a key of :data:`RESIZES`: ``pillow`` (bilinear, as in torchvision and torchreid),
            ``bicubic`` (Pillow's), ``cv2`` and ``cv2_cubic`` (OpenCV's INTER_LINEAR and
            INTER_CUBIC, without antialiasing), ``none`` (images have the size already).
        order: order of the network's input channels, ``rgb`` or ``bgr``.
        range: pixels are in [0, 1] or in [0, 255] before normalization.
        letterbox: keep the aspect ratio and fill the rest: ``""`` (off), ``center`` or ``corner``
            (the image is at the top left).
        pad: level of red, green and blue in the filled area, 0 to 255.

    Raises:
        ConfigError: a value is invalid.
    """

    size: tuple[int, int] = (256, 128)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resize: str = "pillow"
    order: str = "rgb"
    range: int = 1
    letterbox: str = ""
    pad: tuple[int, ...] = (114, 114, 114)

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise ConfigError(f"size is (height, width) in pixels, got {tuple(self.size)}")
        whole = len(self.mean) == len(self.std) == 3 and min(self.std) > 0
        if not whole or not all(map(math.isfinite, (*self.mean, *self.std))):
            raise ConfigError(
                f"mean and std are three numbers each, std positive, got {self.mean}, {self.std}"
            )
        _check("resize", self.resize, tuple(RESIZES))
        _check("order", self.order, ORDERS)
        _check("range", self.range, RANGES)
        _check("letterbox", self.letterbox, ("", "center", "corner"))
        if len(self.pad) != 3 or not all(0 <= level <= LEVELS for level in self.pad):
            raise ConfigError(f"pad is one level or three, each 0 to 255, got {self.pad}")
        if self.range == LEVELS and any(self.mean) and (max(self.mean) <= 1 or max(self.std) < 1):
            raise ConfigError(
                f"with range=255 mean and std are in levels of 0 to 255, got {self.mean} and "
                f"{self.std}; write 255 times what is of 0 to 1, or leave range=255 out"
            )
        if self.range != LEVELS and max(self.mean) > 1:
            raise ConfigError(
                f"mean and std are of pixels in [0, 1], got mean {self.mean}; if they are of "
                "levels of 0 to 255, write range=255, too, or divide them by 255"
            )

    @property
    def resized(self) -> Resize:
        """The differentiable resize."""
        return Resize(self.size, self.resize, letterbox=self.letterbox, pad=self.pad)

    @property
    def of_files(self) -> FileResize:
        """The resize of files, to whole levels."""
        return FileResize(self.size, self.resize, letterbox=self.letterbox, pad=self.pad)

    def to_network(self, images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Return the network's input for resized images (..., 3, h, w) in [0, 1].

        Args:
            images: red, green, blue; they are not changed.
            mean: (3, 1, 1), on their device.
            std: (3, 1, 1), on their device.
        """
        scaled = images * LEVELS if self.range == LEVELS else images
        inputs = (scaled - mean) / std
        return inputs.flip(-3) if self.order == "bgr" else inputs

    def file_transform(self) -> T.Compose:
        """Return PIL image (RGB) -> the network's input (3, h, w); picklable."""
        resize: Callable[[Any], Any] = T.Resize(self.size)
        if self.resize != "pillow" or self.letterbox:
            resize = self.of_files
        steps = [resize, T.ToTensor(), T.Normalize(self.mean, self.std)]
        if self.range == LEVELS:
            steps[1] = Levels()
        return T.Compose([*steps, Reversed()] if self.order == "bgr" else steps)

    def settings(self) -> dict[str, Any]:
        """Return the arguments to rebuild it."""
        return asdict(self)

    def __str__(self) -> str:
        height, width = self.size
        boxed = f", letterbox {self.letterbox}" if self.letterbox else ""
        normalized = "/".join(",".join(f"{v:g}" for v in part) for part in (self.mean, self.std))
        return f"{height}x{width}, {self.resize}{boxed}, {self.order} 0..{self.range}, {normalized}"


def _check(name: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} '{value}' is unknown{suggest(str(value), map(str, known))}")


class Levels:
    """PIL image -> its levels (3, h, w) as floats in [0, 255]."""

    def __call__(self, image: Any) -> Tensor:
        """Return the levels, exactly."""
        levels: Tensor = T.functional.pil_to_tensor(image)
        return levels.to(torch.float32)


class Reversed:
    """Red, green, blue -> blue, green, red."""

    def __call__(self, image: Tensor) -> Tensor:
        """Return (3, h, w) with its channels reversed."""
        return image.flip(-3)
