"""Chains of resizing and padding, computed with tensors or with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.core import pixels
from torchreid_adv.defenses.base import Defense, require

MODES = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
LEAST = 2  # pixels of a side; antialiased resizing of one pixel's width is wrong in PyTorch on CPUs
MOST = 10_000


class Resize(NamedTuple):
    """To a height and width, pixels."""

    height: int
    width: int


class Pad(NamedTuple):
    """A black border, pixels."""

    border: int


class Frame(NamedTuple):
    """Black pixels on each side."""

    left: int
    top: int
    right: int
    bottom: int


Step = Resize | Pad | Frame


class Chain(Defense):
    """Resizing and padding steps, each clamped to [0, 1] as 8-bit images would be.

    Resizing is antialiased: otherwise a smaller image would only sample the larger one's pixels,
    and the noise would survive (Gong et al. resize with Pillow, which always averages).

    Args:
        steps: applied in order.
        mode: ``bicubic`` or ``bilinear``.
        exact: compute with Pillow on 8 bits, which rounds after every pass; the tensor computation,
            within three gray levels of it, then provides the gradient.

    Raises:
        ConfigError: a size or mode is invalid.
    """

    def __init__(
        self, steps: Sequence[Step], *, mode: str = "bicubic", exact: bool = False
    ) -> None:
        super().__init__()
        require(mode in MODES, f"mode is one of {', '.join(MODES)}, got {mode!r}")
        self.steps = tuple(steps)
        self.mode = mode
        self.pillow = exact
        self.differentiable = not exact

    def exact(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Return the images at the end of the chain; ``drawn`` replaces the steps."""
        if not self.pillow:
            return self.surrogate(images, drawn)
        steps = self.steps if drawn is None else drawn
        ends = [_with_pillow(image, steps, self.mode) for image in pixels.to_uint8(images)]
        return pixels.to_tensor(np.stack(ends)).to(images)

    def surrogate(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Return the images at the end of the chain, computed with tensors."""
        for step in self.steps if drawn is None else drawn:
            images = _step(images, step, self.mode)
        return images

    def describe(self) -> dict[str, Any]:
        """Return the steps and how they are computed."""
        steps = [list(step) for step in self.steps]
        computed = {"mode": self.mode, "exact": self.pillow}
        return {**super().describe(), "steps": steps, **computed}


def size_of(name: str, value: Any) -> Resize:
    """Return a size that a config writes as [height, width].

    Raises:
        ConfigError: it is not a size.
    """
    numbers = isinstance(value, (list, tuple)) and all(type(side) is int for side in value)
    fits = numbers and len(value) == 2 and all(LEAST <= side <= MOST for side in value)
    require(fits, f"{name} is [height, width], {LEAST} to {MOST} pixels each, got {value!r}")
    return Resize(*value)


def _step(images: Tensor, step: Step, mode: str) -> Tensor:
    if isinstance(step, Pad):
        return F.pad(images, (step.border,) * 4)
    if isinstance(step, Frame):
        return F.pad(images, (step.left, step.right, step.top, step.bottom))
    # along rows, then columns: Pillow clips the overshoot of bicubic weights after each
    for size in ((images.shape[-2], step.width), tuple(step)):
        if tuple(images.shape[-2:]) != size:
            images = F.interpolate(images, size, mode=mode, antialias=True, align_corners=False)
            images = images.clamp(0, 1)
    return images


def _with_pillow(image: np.ndarray, steps: Sequence[Step], mode: str) -> np.ndarray:
    picture = Image.fromarray(image)
    for step in steps:
        if isinstance(step, Pad):
            picture = ImageOps.expand(picture, border=step.border)
        elif isinstance(step, Frame):
            picture = ImageOps.expand(picture, border=tuple(step))
        else:
            picture = picture.resize((step.width, step.height), MODES[mode])
    return np.asarray(picture)
