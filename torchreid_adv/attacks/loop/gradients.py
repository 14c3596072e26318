"""Gradient strategies: each fills ``.grad`` of a perturbation and returns the losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.attacks.loop.objectives import Losses
from torchreid_adv.attacks.loop.perturbations import LinfDelta, Perturbation
from torchreid_adv.defenses.base import other_draws
from torchreid_adv.errors import ConfigError

Gradient = Callable[[Losses, Perturbation, Tensor], Tensor]


def exact(losses_of: Losses, perturbation: Perturbation, images: Tensor) -> Tensor:
    """Differentiate the sum of the losses; images do not interact, so each gets its own gradient.

    Returns:
        losses (N,), detached.
    """
    parameters = list(perturbation.parameters())
    losses = losses_of(perturbation(images))
    if not losses.requires_grad:
        raise ConfigError(
            "the model has no gradient (an ONNX file, or something in it cuts the gradient off); "
            "attack it by its answers (adv.attack.name square, nes or spsa), or by transfer"
        )
    gradients = torch.autograd.grad(losses.sum(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    return losses.detach()


class Expectation:
    """The mean gradient over random draws (EOT), with one backward pass per draw.

    Athalye et al., Synthesizing Robust Adversarial Examples, 2018.

    Args:
        samples: number of draws.
        of: the gradient of a single draw.

    Raises:
        ConfigError: samples is below 1.
    """

    def __init__(self, samples: int, *, of: Gradient = exact) -> None:
        if samples < 1:
            raise ConfigError(f"an expectation needs one draw or more, got {samples}")
        self.samples, self.of = samples, of

    def __call__(self, losses_of: Losses, perturbation: Perturbation, images: Tensor) -> Tensor:
        """Fill the mean gradient and return the mean losses (N,)."""
        parameters = list(perturbation.parameters())
        sums, total = (
            [torch.zeros_like(parameter) for parameter in parameters],
            images.new_zeros(()),
        )
        for number in range(self.samples):
            with other_draws("sample", number):
                total = total + self.of(losses_of, perturbation, images)
            for part, parameter in zip(sums, parameters, strict=True):
                assert parameter.grad is not None
                part += parameter.grad
        for part, parameter in zip(sums, parameters, strict=True):
            parameter.grad = part / self.samples
        return total / self.samples


def expectation(samples: int, *, of: Gradient = exact) -> Gradient:
    """Return the mean gradient over some draws; for one draw, the gradient itself."""
    return of if samples == 1 or isinstance(of, Expectation) else Expectation(samples, of=of)


class Smoothed:
    """The exact gradient, smoothed over the image (Dong et al., Translation-Invariant Attacks).

    It is the mean gradient over shifted copies of the image, weighted by the kernel.

    Args:
        kernel: odd length of a side of the Gaussian kernel, pixels.
        reach: number of standard deviations from its center to its border.

    Raises:
        ConfigError: the kernel has no center, or the reach is not above 0.
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
