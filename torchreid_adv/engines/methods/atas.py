"""ATAS: one step whose size is learned for each training image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, distributed

from torchreid_adv.attacks.loop.gradient_attack import GradientAttack
from torchreid_adv.attacks.loop.objectives import Objective
from torchreid_adv.attacks.loop.steps import Project, SignStep
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.processes import gathered_values
from torchreid_adv.engines.inner_attack import InnerAttack
from torchreid_adv.engines.methods.base import Sample
from torchreid_adv.engines.methods.usual import OneStep
from torchreid_adv.registry import TRAININGS

BETA = 0.5  # share of an image's memory that stays
LOW, HIGH = 0.5, 1.75  # of a step, in bounds: 4 and 14 gray levels at the paper's 8


class StepMemory:
    """``g <- beta g + (1 - beta) |gradient|^2`` of each training image, and the step it gives.

    ``step = 2 eps / (1 + sqrt(g) / c)``, clamped to ``[0.5, 1.75] eps``: an image with a large
    gradient takes a small step. c is the mean of ``sqrt(g)`` over the images seen so far, so the
    average image takes a step of eps.
    """

    def __init__(self) -> None:
        self.values: dict[str, float] = {}  # image file -> g
        self.changed: set[str] = set()  # since the last exchange between processes

    def steps(self, names: tuple[str, ...], squares: Tensor, eps: float) -> Tensor:
        """Take over the gradients of images and return their steps.

        Args:
            names: N image files.
            squares: (N,) squared L2 norms of their gradients.
            eps: bound of now, pixel units.

        Returns:
            (N,) step sizes, pixel units of [0, 1].
        """
        for name, square in zip(names, squares.double().tolist(), strict=True):
            before = self.values.get(name, square)  # nothing is remembered of a new image
            self.values[name] = BETA * before + (1 - BETA) * square
        self.changed.update(names)
        roots = torch.tensor([self.values[name] for name in names], dtype=torch.float64).sqrt()
        every = torch.tensor(list(self.values.values()), dtype=torch.float64).sqrt()
        typical = every.mean().clamp_min(torch.finfo(torch.float64).tiny)
        return (2 * eps / (1 + roots / typical)).clamp(LOW * eps, HIGH * eps).to(squares)

    def share(self) -> None:
        """Exchange what has changed between the processes of a training."""
        changed = {name: self.values[name] for name in sorted(self.changed)}
        if distributed.is_available() and distributed.is_initialized():
            parts = gathered_values(changed)
            merged = {name: value for part in parts for name, value in part.items()}
            self.values = dict(sorted({**self.values, **merged}.items()))
        self.changed.clear()


class ImageStep(SignStep):
    """A sign step whose size each image's memory gives.

    Args:
        parameters: adversarial images (N, 3, H, W).
        lr: the bound, pixel units.
        memory: of the step sizes.
        names: of the image files.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        memory: StepMemory,
        names: tuple[str, ...],
    ) -> None:
        super().__init__(parameters, lr=lr)
        self.memory, self.names = memory, names

    @torch.no_grad()
    def step(self, losses: Tensor, project: Project) -> None:  # type: ignore[override]
        """Update the memory, move each image by its own step, project."""
        for group, parameter, direction in self._directions():
            squares = direction.flatten(1).pow(2).sum(1)
            sizes = self.memory.steps(self.names, squares, group["lr"])
            parameter.add_(direction.sign() * sizes.view(-1, *[1] * (direction.ndim - 1)))
        project()


@dataclass(frozen=True)
class AtasAttack(InnerAttack):
    """One step from noise, with a size for each image.

    Args:
        memory: of the step sizes.
        names: of the image files of the batch; none = each takes a step of the bound.
    """

    memory: StepMemory = field(default_factory=StepMemory, compare=False, repr=False)
    names: tuple[str, ...] = ()

    def _loop(self, objective: Objective) -> GradientAttack:
        loop = super()._loop(objective)
        if self.names:
            loop.step_rule = lambda parameters: ImageStep(
                parameters, lr=self.eps, memory=self.memory, names=self.names
            )
        return loop


@TRAININGS.register(
    "atas",
    title="one step from noise, its size learned for each training image",
    paper="Huang et al., Fast Adversarial Training with Adaptive Step Size, 2023",
)
class ATAS(OneStep):
    """ATAS-like step sizes, see :class:`StepMemory`; two plain steps.

    Departures. The paper starts at the perturbation that an image ended with in the epoch before,
    turned and cut as the image is; torchreid's transforms do not say what they drew, so a step
    starts at uniform noise. Its c is 0.01, which holds for the gradients of CIFAR-10; here it is
    relative to the gradients seen. Its first epochs have steps of eps; here an image's first
    gradient counts in full. The objective is ``adv.training.objective``.
    """

    keeps = True
    unread = ("steps", "step_size")

    def attack(self, cfg: AdvConfig) -> InnerAttack:
        """Build the attack with an empty memory."""
        self.memory = StepMemory()
        return AtasAttack.configured(cfg, self.seed, memory=self.memory)

    def attacked(self, sample: Sample, batch: Batch, names: tuple[str, ...]) -> Tensor:
        """Return the adversarial pixels, and remember the gradients of these images."""
        inner = self.inner_now(sample.eps)
        assert isinstance(inner, AtasAttack)
        return replace(inner, names=names)(sample.model, batch)

    def epoch_ended(self) -> None:
        """Exchange step sizes between processes."""
        self.memory.share()

    def state(self) -> dict[str, Any]:
        """Return the memory of all images."""
        return {"values": dict(self.memory.values)}

    def take_state(self, state: dict[str, Any]) -> None:
        """Continue with the memory of a checkpoint."""
        self.memory.values = dict(state["values"])
