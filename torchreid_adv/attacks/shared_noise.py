"""The same noise for all frames of a tracklet."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.loop.gradient_attack import Attack, GradientAttack
from torchreid_adv.attacks.loop.gradients import exact
from torchreid_adv.attacks.loop.perturbations import (
    LinfDelta,
    Perturbation,
    inside,
    largest,
    uniform,
)
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels, whole_noise
from torchreid_adv.errors import ConfigError

_HALF = from_levels(0.5)


class SharedDelta(Perturbation):
    """The same noise on each frame of a tracklet, within an L-infinity ball; pixels in [0, 1].

    The noise is added in whole gray levels, rounded to nearest: if each frame were rounded after
    adding fractions, stored differences of frames could differ by a level. Gradients ignore the
    rounding. A frame that leaves [0, 1] is clamped, and gives no gradient there; the noise stops
    where no frame would change any further.

    Args:
        eps: radius, pixel units of [0, 1].
    """

    delta: nn.Parameter  # (N, 1, 3, H, W)
    inside: Tensor | None  # (N, T, 1, H, W): 1 on a frame, 0 on the padding; None = no padding
    sizes: list[list[int]]  # height and width of each tracklet's largest frame

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def describe(self) -> dict[str, Any]:
        """Describe the noise as shared."""
        return {"tracklet": "shared"}

    def reset(self, batch: Batch) -> None:
        """Start without noise.

        Raises:
            ConfigError: the batch has single images.
        """
        if batch.images.ndim != 5:
            raise ConfigError("noise shared by frames is for tracklets, and this batch is images")
        clean = batch.images.detach()
        self.inside = None if batch.sizes is None else inside(clean, batch.sizes)
        self.sizes = largest(batch)
        self.delta = nn.Parameter(torch.zeros_like(clean[:, :1]))

    def forward(self, images: Tensor) -> Tensor:
        """Return the adversarial frames (N, T, 3, H, W) of clean frames."""
        still = self.delta.detach()
        moved = images + still + (whole_noise(still, self.eps) - still)
        free = (moved > -_HALF) & (moved < 1 + _HALF)  # a pixel at the edge is not beyond it
        if self.inside is not None:
            free = free & (self.inside > 0)
            moved = moved * self.inside
        return moved.clamp(0, 1) + (self.delta - still) * free

    @torch.no_grad()
    def project(self, images: Tensor) -> None:
        """Clamp the noise into the ball, and to where it still changes a frame."""
        shown = None if self.inside is None else self.inside > 0
        bright = images.amax(1, keepdim=True)
        dark = (images if shown is None else images.masked_fill(~shown, 1)).amin(1, keepdim=True)
        torch.maximum(self.delta, (-bright).clamp_min(-self.eps), out=self.delta.data)
        torch.minimum(self.delta, (1 - dark).clamp_max(self.eps), out=self.delta.data)

    @torch.no_grad()
    def randomize(self, generators: Sequence[torch.Generator], where: Tensor | None = None) -> None:
        """Set the noise of tracklets to a uniform draw in [-eps, eps]."""
        for row, draws in enumerate(generators):
            if where is None or bool(where[row]):
                height, width = self.sizes[row]
                noise = uniform(self.eps, height, width, draws).to(self.delta)
                self.delta[row, ..., :height, :width] += noise


def with_shared_noise(attack: Attack) -> Attack:
    """Make an attack use the same noise for all frames of a tracklet.

    Args:
        attack: an attack that follows the gradient of each pixel.

    Raises:
        ConfigError: the attack is of another kind.
    """
    fits = (
        isinstance(attack, GradientAttack)
        and isinstance(attack.perturbation, LinfDelta)
        and attack.gradient is exact
    )
    if not fits:
        raise ConfigError(
            f"the attack '{attack.name}' cannot share its noise among frames; set "
            "adv.attack.tracklet frames, or choose one such as fgsm, ifgsm, mifgsm or sma"
        )
    shared_attack = copy.copy(attack)
    assert isinstance(shared_attack, GradientAttack)
    assert isinstance(shared_attack.perturbation, LinfDelta)
    shared_attack.perturbation = SharedDelta(shared_attack.perturbation.eps)
    return shared_attack
