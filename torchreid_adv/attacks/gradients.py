"""Gradient strategies: each fills ``.grad`` of a perturbation and returns the losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.attacks.objectives import Losses
from torchreid_adv.attacks.perturbations import LinfDelta, Perturbation
from torchreid_adv.errors import ConfigError

Gradient = Callable[[Losses, Perturbation, Tensor], Tensor]


def exact(losses_of: Losses, perturbation: Perturbation, images: Tensor) -> Tensor:
    """Differentiate the sum of the losses; images do not interact, so each gets its own gradient.

    Returns:
        losses (N,), detached.
    """
    parameters = list(perturbation.parameters())
    losses = losses_of(perturbation(images))
    gradients = torch.autograd.grad(losses.sum(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    return losses.detach()


class Smoothed:
    """The exact gradient, smoothed over the image (Dong et al., Translation-Invariant Attacks).

    Which is the gradient's mean over shifted copies of the image, each weighted by the kernel.

    Args:
        kernel: odd length of a side of the Gaussian kernel, pixels.
        reach: standard deviations from its center to its border.

    Raises:
        ConfigError: a kernel that has no center, or no reach.
    """

    def __init__(self, *, kernel: int = 15, reach: float = 3.0) -> None:
        if kernel < 1 or kernel % 2 == 0 or reach <= 0:
            raise ConfigError(
                f"a smoothing kernel has an odd length and a reach above 0, got {kernel}, {reach}"
            )
        self.kernel, self.reach = kernel, reach

    def weights(self) -> Tensor:
        """Return the kernel (K, K) in float64; its sum is 1."""
        line = torch.linspace(-self.reach, self.reach, self.kernel, dtype=torch.float64)
        line = torch.exp(-line.pow(2) / 2)
        plane = line[:, None] * line
        return plane / plane.sum()

    def __call__(self, losses_of: Losses, perturbation: Perturbation, images: Tensor) -> Tensor:
        """Fill the smoothed gradient and return losses (N,)."""
        assert isinstance(perturbation, LinfDelta)
        losses = exact(losses_of, perturbation, images)
        gradient = perturbation.images.grad
        assert gradient is not None
        weights = self.weights().to(gradient).expand(gradient.shape[-3], 1, -1, -1)
        rows = gradient.flatten(0, -4)
        smooth = F.conv2d(rows, weights, padding=self.kernel // 2, groups=rows.shape[1])
        smooth = smooth.view_as(gradient)
        perturbation.images.grad = (
            smooth if perturbation.inside is None else smooth * perturbation.inside
        )
        return losses
