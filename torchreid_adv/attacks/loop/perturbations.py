"""Perturbations: the parameters of an attack, and their limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.core.batch import Batch
from torchreid_adv.errors import ConfigError


class Perturbation(nn.Module, ABC):
    """Turns clean images into adversarial ones; a step rule moves its parameters."""

    def describe(self) -> dict[str, Any]:
        """Describe the perturbation for a report, without its bound."""
        return {}

    @abstractmethod
    def reset(self, batch: Batch) -> None:
        """Start again at the clean images of a batch."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Return the adversarial form (N, [T,] 3, H, W) of clean images."""

    @abstractmethod
    def project(self, images: Tensor) -> None:
        """Move the parameters back into the bounds around the clean images, in place."""

    def randomize(self, generators: Sequence[torch.Generator], where: Tensor | None = None) -> None:
        """Move to a random start, with a generator for each image.

        Args:
            generators: one per image.
            where: (N,) bool, the images to move; None = all.

        Raises:
            ConfigError: this perturbation has no random start.
        """
        raise ConfigError(f"{type(self).__name__} has no random start; use start='zero'")


class LinfDelta(Perturbation):
    """Separate pixels for each image or frame, within an L-infinity ball and [0, 1].

    The parameter is the adversarial image rather than its difference from the clean one: the
    gradient is the same, and ``clean + (image - clean)`` is not rounded.

    Args:
        eps: radius, pixel units of [0, 1].
    """

    images: nn.Parameter
    low: Tensor
    high: Tensor
    sizes: list[list[int]]  # height and width of each image, of a tracklet's largest frame
    parts: list[tuple[int, tuple[int, ...], int, int]]  # see Batch.parts
    inside: Tensor | None  # (N, [T,] 1, H, W): 1 on an image, 0 on the padding; None = no padding

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def reset(self, batch: Batch) -> None:
        """Start at the clean images; pixels outside of an image's size never move."""
        clean = batch.images.detach()
        self.sizes, self.parts = largest(batch), batch.parts()
        self.inside = None if batch.sizes is None else inside(clean, batch.sizes)
        self.low, self.high = (clean - self.eps).clamp_min_(0), (clean + self.eps).clamp_max_(1)
        if self.inside is not None:
            self.low *= self.inside
            self.high *= self.inside
        self.images = nn.Parameter(clean.clone())

    def forward(self, images: Tensor) -> Tensor:
        """Return the adversarial images (N, [T,] 3, H, W); the clean images are not needed."""
        return self.images

    @torch.no_grad()
    def project(self, images: Tensor) -> None:
        """Clamp into the ball: first from below, then from above (I-FGSM's order)."""
        torch.maximum(self.images, self.low, out=self.images.data)
        torch.minimum(self.images, self.high, out=self.images.data)

    @torch.no_grad()
    def randomize(self, generators: Sequence[torch.Generator], where: Tensor | None = None) -> None:
        """Move images by uniform noise in [-eps, eps], drawn for their size without padding."""
        for row, index, height, width in self.parts:
            if where is None or bool(where[row]):
                noise = uniform(self.eps, height, width, generators[row])
                self.images[index][..., :height, :width] += noise.to(self.images)
        self.project(self.images)


class NoisyDelta(LinfDelta):
    """An L-infinity ball around noise that is drawn first and is larger than the step after it.

    N-FGSM (de Jorge et al., Make Some Noise: Reliable and Efficient Single-Step Adversarial
    Training, NeurIPS 2022) starts at ``U(-k eps, k eps)`` and does not clip the sum of noise and
    step to eps; only [0, 1] bounds it, and here, which is the same for one step, ``(k + 1) eps``.

    Args:
        eps: length of the step, pixel units of [0, 1].
        noise: k, of the noise.
    """

    def __init__(self, eps: float, noise: float) -> None:
        super().__init__((noise + 1) * eps)
        self.spread = noise * eps

    @torch.no_grad()
    def randomize(self, generators: Sequence[torch.Generator], where: Tensor | None = None) -> None:
        """Move images by uniform noise in [-k eps, k eps]."""
        for row, index, height, width in self.parts:
            if where is None or bool(where[row]):
                drawn = uniform(self.spread, height, width, generators[row])
                self.images[index][..., :height, :width] += drawn.to(self.images)
        self.project(self.images)


def largest(batch: Batch) -> list[list[int]]:
    """Return height and width of each image of a batch, of each tracklet's largest frame."""
    if batch.sizes is None:
        return [list(batch.images.shape[-2:])] * len(batch)
    sizes: list[list[int]] = batch.sizes.view(len(batch), -1, 2).amax(1).tolist()
    return sizes


def uniform(eps: float, height: int, width: int, draws: torch.Generator) -> Tensor:
    """Draw noise (3, height, width) in [-eps, eps], float64."""
    noise = torch.rand(3, height, width, generator=draws, dtype=torch.float64)
    return (noise * 2 - 1) * eps


def inside(images: Tensor, sizes: Tensor) -> Tensor:
    """Return 1 where a canvas (N, [T,] 3, H, W) shows its image and 0 where it is padding."""
    heights, widths = sizes[..., 0].to(images.device), sizes[..., 1].to(images.device)
    rows = torch.arange(images.shape[-2], device=images.device)
    columns = torch.arange(images.shape[-1], device=images.device)
    shown = (rows[:, None] < heights[..., None, None]) & (columns < widths[..., None, None])
    return shown.unsqueeze(-3).to(images.dtype)
