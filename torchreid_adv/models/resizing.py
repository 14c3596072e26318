"""Resizing as in Pillow and OpenCV: of files to whole levels, and differentiable."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.errors import ConfigError, DataError

_PILLOW = {"pillow": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_OPENCV = {"cv2": cv2.INTER_LINEAR, "cv2_cubic": cv2.INTER_CUBIC}
# name -> torch's nearest interpolation, whether it is antialiased, whether it overshoots
RESIZES: dict[str, tuple[str, bool, bool]] = {
    "pillow": ("bilinear", True, False),
    "bicubic": ("bicubic", True, True),
    "cv2": ("bilinear", False, False),
    "cv2_cubic": ("bicubic", False, True),
    "none": ("", False, False),
}


class Resize:
    """Images (N, 3, H, W) in [0, 1] -> (N, 3, h, w), differentiable.

    Pillow's bicubic resizes width and height one after the other, and clamps after each; in one
    pass, or in the other order, single pixels would differ by up to 29 levels.

    Args:
        size: height and width.
        name: a key of :data:`RESIZES`.
        letterbox: position of the image if the aspect ratio is kept, ``center`` or ``corner``.
        pad: levels of red, green and blue around it.
    """

    def __init__(
        self, size: Sequence[int], name: str, *, letterbox: str = "", pad: Sequence[int] = (0, 0, 0)
    ) -> None:
        self.size = (int(size[0]), int(size[1]))
        self.name, self.letterbox, self.pad = name, letterbox, tuple(pad)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the resized images.

        Raises:
            ConfigError: the method is ``none``, and images have another size.
        """
        height, width = images.shape[-2:]
        if self.letterbox:
            return self._boxed(images, fitted((height, width), self.size, self.letterbox))
        return self._to(images, self.size)

    def _to(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        if tuple(images.shape[-2:]) == size:
            return images
        mode, antialias, overshoots = RESIZES[self.name]
        if not mode:
            raise ConfigError(_unequal(images.shape[-2:], size))
        if self.name == "bicubic":
            current_size = int(images.shape[-2]), int(images.shape[-1])
            return _two_passes(
                images, size, width_first=pillow_starts_with_width(current_size, size)
            )
        resized = F.interpolate(images, size, mode=mode, antialias=antialias, align_corners=False)
        return resized.clamp(0, 1) if overshoots else resized

    def _boxed(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        top, left = _place(size, self.size, self.letterbox)
        canvas = images.new_tensor(self.pad).view(3, 1, 1) / LEVELS
        canvas = canvas.expand(len(images), 3, *self.size).clone()
        canvas[:, :, top : top + size[0], left : left + size[1]] = self._to(images, size)
        return canvas


def _two_passes(images: Tensor, size: tuple[int, int], *, width_first: bool) -> Tensor:
    """Resize images along one side and then the other, clamped after each."""
    between = (images.shape[-2], size[1]) if width_first else (size[0], images.shape[-1])
    for target in (between, size):
        images = F.interpolate(
            images, target, mode="bicubic", antialias=True, align_corners=False
        ).clamp(0, 1)
    return images


@functools.lru_cache(maxsize=65536)
def pillow_starts_with_width(size: tuple[int, int], target: tuple[int, int]) -> bool:
    """Tell whether Pillow's bicubic resizes the width of an image of a size first.

    Up to Pillow 12 it always does; later versions choose by sizes. A black and white pattern
    reveals the order.

    Args:
        size: height and width of the image.
        target: height and width of the result.
    """
    pattern = np.random.default_rng(0).integers(0, 2, (*size, 3), dtype=np.uint8) * np.uint8(LEVELS)
    theirs = Image.fromarray(pattern).resize(target[::-1], Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.array(theirs)).permute(2, 0, 1)
    images = torch.from_numpy(pattern).permute(2, 0, 1)[None] / LEVELS

    def distance(width_first: bool) -> float:
        ours = _two_passes(images, target, width_first=width_first)[0]
        return float((ours * LEVELS - expected).abs().max())

    return distance(True) <= distance(False)


class FileResize:
    """PIL image -> PIL image of another size, resized by Pillow or OpenCV; picklable.

    Args:
        size: height and width.
        name: a key of :data:`RESIZES`.
        letterbox: as in :class:`Resize`.
        pad: as in :class:`Resize`.
    """

    def __init__(
        self, size: Sequence[int], name: str, *, letterbox: str = "", pad: Sequence[int] = (0, 0, 0)
    ) -> None:
        self.size = (int(size[0]), int(size[1]))
        self.name, self.letterbox, self.pad = name, letterbox, tuple(pad)

    def __call__(self, image: Any) -> Any:
        """Return the resized image.

        Raises:
            DataError: the method is ``none``, and the image has another size.
        """
        if not self.letterbox:
            return self._to(image, self.size)
        size = fitted((image.height, image.width), self.size, self.letterbox)
        top, left = _place(size, self.size, self.letterbox)
        canvas = Image.new("RGB", self.size[::-1], tuple(self.pad))
        canvas.paste(self._to(image, size), (left, top))
        return canvas

    def levels(self, pixels: np.ndarray) -> np.ndarray:
        """Return uint8 pixels (h, w, 3), resized from (H, W, 3); unchanged if of that size."""
        if pixels.shape[:2] == self.size:
            return pixels
        return np.array(self(Image.fromarray(pixels)))

    def facts(self) -> dict[str, Any]:
        """Return the resize method as keywords; none for Pillow's bilinear, torchreid's default."""
        keywords: dict[str, Any] = {} if self.name == "pillow" else {"resize": self.name}
        return keywords | ({"letterbox": self.letterbox, "pad": self.pad} if self.letterbox else {})

    def _to(self, image: Any, size: tuple[int, int]) -> Any:
        if self.name in _OPENCV:
            pixels = cv2.resize(np.asarray(image), size[::-1], interpolation=_OPENCV[self.name])
            return Image.fromarray(pixels)
        if self.name in _PILLOW:
            return image.resize(size[::-1], _PILLOW[self.name])
        if (image.height, image.width) != size:
            raise DataError(_unequal((image.height, image.width), size))
        return image


def fitted(inside: Sequence[int], size: Sequence[int], letterbox: str) -> tuple[int, int]:
    """Return the largest height and width of an image's aspect ratio that fit into a size.

    Sizes are truncated to whole pixels for ``center``, as in boxmot, and rounded for ``corner``, as
    in Roboflow's reid.
    """
    scale = min(size[0] / inside[0], size[1] / inside[1])
    whole = round if letterbox == "corner" else int
    return max(1, whole(inside[0] * scale)), max(1, whole(inside[1] * scale))


def _place(inside: Sequence[int], size: Sequence[int], letterbox: str) -> tuple[int, int]:
    if letterbox == "corner":
        return 0, 0
    return (size[0] - inside[0]) // 2, (size[1] - inside[1]) // 2


def _unequal(actual: Sequence[int], size: Sequence[int]) -> str:
    return (
        f"an image has {actual[0]}x{actual[1]} pixels, and resize=none takes {size[0]}x{size[1]} "
        "only; choose a resize"
    )
