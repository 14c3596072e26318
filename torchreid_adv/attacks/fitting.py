"""The loop that learns a universal perturbation: one step per batch."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.gradients import Gradient, exact, expectation
from torchreid_adv.attacks.meta import InnerStep, meta
from torchreid_adv.attacks.objectives import Losses, Objective
from torchreid_adv.attacks.randomness import seeded
from torchreid_adv.attacks.steps import StepRule
from torchreid_adv.attacks.universal import UniversalPerturbation
from torchreid_adv.data.batch import Batch, generator
from torchreid_adv.defenses.defended import eot_samples
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.prepare import prepared

STARTS = ("zero", "random")


class UniversalFit:
    """Learns a copy of a universal perturbation, step by step.

    Args:
        objective: what grows, of an image or of a batch.
        perturbation: what moves; a copy is learned.
        step_rule: parameters -> StepRule.
        start: ``zero``, or ``random`` for objectives whose gradient is zero there (SMA).
        inner: of the meta-test, where :meth:`fit_step` gets a second batch.
        seed: of the start and of everything random inside the model.
        precision: ``fp32`` or ``bf16``, number format inside the networks.

    Raises:
        ConfigError: an unknown start.

    Example:
        >>> fit = UniversalFit(BatchTriplet(distance), UniversalPerturbation(8 / 255),
        ...                    partial(SignStep, lr=0.8 / 255, momentum=1.0))
        >>> losses = fit.fit_step(model, batch, virtual_batch)
        >>> adversarial = fit.perturbation(images)
    """

    def __init__(
        self,
        objective: Objective,
        perturbation: UniversalPerturbation,
        step_rule: Callable[[Iterable[nn.Parameter]], StepRule],
        *,
        start: str = "zero",
        inner: InnerStep | None = None,
        seed: int = 0,
        precision: str = "fp32",
    ) -> None:
        if start not in STARTS:
            raise ConfigError(f"a universal start is one of {', '.join(STARTS)}, got '{start}'")
        self.objective = objective
        self.perturbation = copy.deepcopy(perturbation)
        if start == "random":
            self.perturbation.randomize([generator(seed, "start")])
        self.rule = step_rule(self.perturbation.parameters())
        self.inner = inner or InnerStep()
        self.seed = seed
        self.precision = precision
        self.steps = 0

    def fit_step(self, model: nn.Module, batch: Batch, virtual: Batch | None = None) -> Tensor:
        """Take one step; the model, the batches and the random state are left as they were.

        Args:
            model: images in [0, 1] -> features; a prepared one saves its preparation.
            batch: clean images of one size, with pids where the objective needs them.
            virtual: of the meta-test; None = no meta-learning.

        Returns:
            losses (N,) of the batch before the step.
        """
        self.perturbation.to(batch.images.device)
        with (
            self._ready(model, batch.images) as ready,
            torch.enable_grad(),
            seeded(self.seed, batch, self.steps),
        ):
            gradient = exact if virtual is None else self._meta(ready, virtual)
            gradient = expectation(eot_samples(ready), of=gradient)
            losses = gradient(self._bound(ready, batch), self.perturbation, batch.images)
        self.rule.step(losses, self.perturbation.project)
        self.steps += 1
        return losses

    def fit(
        self,
        model: nn.Module,
        batches: Sequence[Batch],
        *,
        epochs: int,
        virtual: Sequence[Batch] = (),
        decay: float = 0.0,
    ) -> UniversalPerturbation:
        """Learn for some epochs over batches, the meta-test going round the virtual ones.

        Args:
            model: images in [0, 1] -> features.
            batches: of an epoch.
            epochs: how many.
            virtual: of the meta-test; none = no meta-learning.
            decay: an epoch multiplies the step size by ``exp(-decay)``.

        Returns:
            what was learned.
        """
        others = itertools.cycle(virtual) if virtual else itertools.repeat(None)
        with self._ready(model, batches[0].images) as ready:
            for _ in range(epochs):
                for batch, other in zip(batches, others, strict=False):
                    self.fit_step(ready, batch, other)
                self.end_epoch(decay)
        return self.perturbation

    @property
    def graphs(self) -> bool:
        """Whether one derivative of the network is all that is asked for."""
        return not self.inner.differentiated

    def end_epoch(self, decay: float) -> None:
        """Multiply the step size by ``exp(-decay)``."""
        for group in self.rule.param_groups:
            group["lr"] *= math.exp(-decay)

    def _ready(self, model: nn.Module, images: Tensor) -> AbstractContextManager[nn.Module]:
        return prepared(model, images, precision=self.precision, graphs=self.graphs)

    def _bound(self, ready: nn.Module, batch: Batch) -> Losses:
        embed = batch.embed(ready)
        return self.objective.bind(embed, batch)

    def _meta(self, ready: nn.Module, virtual: Batch) -> Gradient:
        return meta(self._bound(ready, virtual), virtual.images, self.rule, self.inner)
