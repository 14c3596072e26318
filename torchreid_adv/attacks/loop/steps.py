"""Step rules: how a perturbation moves along its gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Project = Callable[[], None]


class StepRule(Optimizer, ABC):
    """An optimizer that ascends, then projects."""

    @abstractmethod
    def step(self, losses: Tensor, project: Project) -> None:  # type: ignore[override]
        """Move the parameters uphill and bring them back into bounds.

        An optimizer's ``step(closure)`` has no argument for either.

        Args:
            losses: (N,) the losses whose gradient is in ``.grad``.
            project: moves the parameters back into their bounds.
        """


class SignStep(StepRule):
    """Sign steps with momentum: FGSM, I-FGSM (momentum 0) and MI-FGSM.

    ``g <- momentum * g + gradient / |gradient|_1`` per image, ``x <- x + lr * sign(g)``
    (Bai et al., eqs. 5-7). An image without a gradient does not move; in the published code the
    division 0 / 0 would leave NaN in its memory.

    Args:
        parameters: parameters to move, first dimension = images.
        lr: step size, pixel units of [0, 1].
        momentum: decay of the running sum.
    """

    def __init__(self, parameters: Iterable[Tensor], *, lr: float, momentum: float = 0.0) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, losses: Tensor, project: Project) -> None:  # type: ignore[override]
        """Update each direction, move along its sign, project."""
        for group, parameter, direction in self._directions():
            self.state[parameter]["memory"] = direction
            parameter.add_(direction.sign(), alpha=group["lr"])
        project()

    def _directions(self) -> Iterator[tuple[dict[str, Any], Tensor, Tensor]]:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    yield group, parameter, self._direction(parameter, group["momentum"])

    def _direction(self, parameter: Tensor, momentum: float) -> Tensor:
        gradient = parameter.grad
        assert gradient is not None
        return running(gradient, self.state[parameter].get("memory"), momentum)


def running(gradient: Tensor, memory: Tensor | None, momentum: float) -> Tensor:
    """Return the direction of a step: ``momentum * memory + gradient / |gradient|_1`` per row.

    Args:
        gradient: (rows, ...), each row independent; the result is differentiable in it.
        memory: the previous direction; None = none yet.
        momentum: 0 = the gradient unchanged.
    """
    if not momentum:
        return gradient
    rows = gradient.flatten(1)
    size = rows.abs().sum(1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    unit = (rows / size).view_as(gradient)
    return unit if memory is None else memory * momentum + unit
