"""Gradient strategies: each fills ``.grad`` of a perturbation and returns the losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from torchreid_adv.attacks.objectives import Losses
from torchreid_adv.attacks.perturbations import Perturbation

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
