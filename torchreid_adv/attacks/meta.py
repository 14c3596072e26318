"""The gradient of MetaAttack: of a loss here, and of a loss elsewhere after a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from torchreid_adv.attacks.gradients import Gradient
from torchreid_adv.attacks.objectives import Losses
from torchreid_adv.attacks.perturbations import Perturbation
from torchreid_adv.attacks.steps import StepRule, running
from torchreid_adv.attacks.universal import UniversalPerturbation
from torchreid_adv.errors import ConfigError, suggest

INNER = ("sign", "sgd")


@dataclass(frozen=True)
class InnerStep:
    """The temporary step before the meta-test.

    Args:
        kind: ``sign`` as the paper; ``sgd`` along the direction itself, scaled to a mean change
            of the step size.
        order: 2 differentiates through an ``sgd`` step. The slope of a sign is 0, so that through
            signed steps both orders are the same gradient, which is computed as the cheap one.
        step_size: pixel units of [0, 1]; None = the step rule's.

    Raises:
        ConfigError: an unknown kind or order.
    """

    kind: str = "sign"
    order: int = 1
    step_size: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in INNER:
            raise ConfigError(f"unknown inner step '{self.kind}'{suggest(self.kind, INNER)}")
        if self.order not in (1, 2):
            raise ConfigError(f"the order of a meta gradient is 1 or 2, got {self.order}")

    @property
    def differentiated(self) -> bool:
        """Whether the step's own gradient is differentiated."""
        return self.kind == "sgd" and self.order == 2


def meta(losses_of: Losses, images: Tensor, rule: StepRule, inner: InnerStep) -> Gradient:
    """Return the gradient of eqs. 8 and 9: ``L_train(p) + L_test(p after a step on L_train)``.

    Yang et al., Towards Robust Person Re-identification by Defending Against Universal Attackers,
    Algorithm 1. The temporary step is a copy, and the rule's memory is read, never written. (The
    released code keeps the temporary step, and so takes two steps at a time.) Entries that the
    temporary step would carry beyond their bounds get no gradient from the meta-test.

    Args:
        losses_of: of the meta-test images.
        images: of the meta-test, (M, 3, H, W) in [0, 1].
        rule: the one that will step.
        inner: the temporary step.
    """

    def gradient(train_losses: Losses, perturbation: Perturbation, train: Tensor) -> Tensor:
        assert isinstance(perturbation, UniversalPerturbation)
        parameters = list(perturbation.parameters())
        losses = train_losses(perturbation(train))
        own = torch.autograd.grad(losses.mean(), parameters, create_graph=inner.differentiated)
        moved = _stepped(perturbation, own, rule, inner)
        tested = losses_of(functional_call(perturbation, moved, (images,)))
        other = torch.autograd.grad(tested.mean(), parameters)
        for parameter, here, there in zip(parameters, own, other, strict=True):
            parameter.grad = here.detach() + there
        return losses.detach()

    return gradient


def _stepped(
    perturbation: UniversalPerturbation,
    gradients: Sequence[Tensor],
    rule: StepRule,
    inner: InnerStep,
) -> dict[str, Tensor]:
    """Return name -> value after the temporary step, within bounds, differentiable."""
    settings = {p: group for group in rule.param_groups for p in group["params"]}
    limits, moved = perturbation.limits(), {}
    for (name, parameter), gradient in zip(perturbation.named_parameters(), gradients, strict=True):
        group = settings[parameter]
        memory = rule.state[parameter].get("memory")
        direction = running(gradient, memory, group.get("momentum", 0))
        unit = direction.sign() if inner.kind == "sign" else _mean_one(direction)
        step = unit * (group["lr"] if inner.step_size is None else inner.step_size)
        step = step if inner.differentiated else step.detach()
        moved[name] = (parameter + step).clamp(*limits[name])
    return moved


def _mean_one(direction: Tensor) -> Tensor:
    size = direction.abs().mean().clamp_min(torch.finfo(direction.dtype).tiny)
    return direction / size
