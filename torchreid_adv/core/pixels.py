"""Pixel units. Inside the package pixels are [0, 1]; config and files speak gray levels of 0-255.

This is the only module that knows the number of levels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # a config needs the levels, and PyTorch takes seconds to import
    from torch import Tensor

LEVELS = 255


def from_levels(levels: float) -> float:
    """Turn gray levels (0-255) into pixel units of [0, 1]."""
    return levels / LEVELS


def to_levels(value: float) -> float:
    """Turn pixel units of [0, 1] into gray levels (0-255)."""
    return value * LEVELS


def whole_levels(value: float) -> int:
    """Return the most whole gray levels that stay within a bound given in [0, 1]."""
    return math.floor(value * LEVELS + 1e-4)


def to_tensor(image: np.ndarray) -> Tensor:
    """Turn uint8 images (..., H, W, 3) into float tensors (..., 3, H, W) in [0, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, -3))).float().div_(LEVELS)


def to_uint8(image: Tensor) -> np.ndarray:
    """Turn tensors (..., 3, H, W) in [0, 1] into uint8 images (..., H, W, 3), rounding to nearest.

    Truncation, as in torchvision's ToPILImage, would move some pixels down by a level.
    """
    import torch

    levels = image.detach().mul(LEVELS).round().clamp(0, LEVELS).to(torch.uint8)
    return np.ascontiguousarray(np.moveaxis(levels.cpu().numpy(), -3, -1))


def whole_noise(noise: Tensor, linf: float) -> Tensor:
    """Return noise, a difference of images in [0, 1], in whole gray levels within a bound."""
    bound = whole_levels(linf)
    return noise.mul(LEVELS).round().clamp(-bound, bound).div(LEVELS)


def quantize(adversarial: Tensor, clean: Tensor, linf: float | None) -> Tensor:
    """Round to whole gray levels, then keep within ``floor(linf)`` whole levels of the clean image.

    Args:
        adversarial: images (..., 3, H, W) in [0, 1].
        clean: the originals, same shape, on whole levels.
        linf: L-infinity bound in [0, 1], or None for an attack without one.

    Returns:
        images on whole levels, so that the checked images are the stored ones.
    """
    levels = adversarial.mul(LEVELS).round()
    if linf is not None:
        import torch

        base, bound = clean.mul(LEVELS).round(), whole_levels(linf)
        levels = torch.minimum(torch.maximum(levels, base - bound), base + bound)
    return levels.clamp(0, LEVELS).div(LEVELS)
