"""The loop that learns a universal perturbation, and the meta-gradient of its steps."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from torchreid_adv.attacks.learned.universal import UniversalPerturbation
from torchreid_adv.attacks.loop.gradients import Gradient, exact, expectation
from torchreid_adv.attacks.loop.objectives import Losses, Objective
from torchreid_adv.attacks.loop.perturbations import Perturbation
from torchreid_adv.attacks.loop.randomness import seeded
from torchreid_adv.attacks.loop.steps import StepRule, running
from torchreid_adv.core.batch import Batch, generator
from torchreid_adv.defenses.defended import eot_samples
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.models.prepare import prepared

STARTS = ("zero", "random")


class UniversalFit:
    """Learns a copy of a universal perturbation, step by step.

    Args:
        objective: the objective to raise, per image or per batch.
        perturbation: the initial perturbation; a copy is learned.
        step_rule: parameters -> StepRule.
        start: ``zero``, or ``random`` for objectives whose gradient is zero there (SMA).
        inner: inner step of the meta-test, if :meth:`fit_step` gets a second batch.
        seed: seed of the start and of all random numbers in the model.
        precision: ``fp32`` or ``bf16``, number format inside the networks.

    Raises:
        ConfigError: the start is unknown.

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
        """Take one step; the model, the batches and the random state are left unchanged.

        Args:
            model: images in [0, 1] -> features; a prepared model is not prepared again.
            batch: clean images of one size, with pids if the objective needs them.
            virtual: batch of the meta-test; None = no meta-learning.

        Returns:
            losses (N,) of the batch before the step.

        Raises:
            ConfigError: ``kept`` is set and the model's gradient is a mean over draws.
        """
        self.perturbation.to(batch.images.device)
        with (
            self._ready(model, batch.images) as ready,
            torch.enable_grad(),
            seeded(self.seed, batch, self.steps),
        ):
            gradient = exact if virtual is None else self._meta(ready, virtual)
            samples = eot_samples(ready)
            if samples > 1 and virtual is not None and self.inner.kept:
                raise ConfigError(
                    "an inner step that is kept is taken once, and this defense's gradient is a "
                    "mean of several draws; set adv.meta.learning meta, or one draw"
                )
            gradient = expectation(samples, of=gradient)
            losses = gradient(self._bound(ready, batch), self.perturbation, batch.images)
        self.rule.step(losses, self.perturbation.project)
        self.steps += 2 if virtual is not None and self.inner.kept else 1
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
        """Learn for some epochs over batches; the meta-test cycles through the virtual batches.

        Args:
            model: images in [0, 1] -> features.
            batches: the batches of an epoch.
            epochs: number of epochs.
            virtual: batches of the meta-test; empty = no meta-learning.
            decay: an epoch multiplies the step size by ``exp(-decay)``.

        Returns:
            the learned perturbation.
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
        """Whether only a first derivative of the network is needed."""
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


INNER = ("sign", "sgd")


@dataclass(frozen=True)
class InnerStep:
    """The temporary step before the meta-test.

    Args:
        kind: ``sign`` as in the paper; ``sgd`` along the gradient itself, scaled to a mean change
            of the step size.
        order: 2 differentiates through an ``sgd`` step. The derivative of a sign is 0, so both
            orders give the same gradient for sign steps, computed as order 1.
        step_size: pixel units of [0, 1]; None = the step size of the rule.
        kept: keep the temporary step, so that each iteration takes two steps, as the released code
            does: the first along the gradient of the meta-train alone, without momentum, the second
            from there along the sum of both gradients, with momentum.

    Raises:
        ConfigError: the kind or order is unknown.
    """

    kind: str = "sign"
    order: int = 1
    step_size: float | None = None
    kept: bool = False

    def __post_init__(self) -> None:
        if self.kind not in INNER:
            raise ConfigError(f"unknown inner step '{self.kind}'{suggest(self.kind, INNER)}")
        if self.order not in (1, 2):
            raise ConfigError(f"the order of a meta gradient is 1 or 2, got {self.order}")

    @property
    def differentiated(self) -> bool:
        """Whether to differentiate through the step."""
        return self.kind == "sgd" and self.order == 2


def meta(losses_of: Losses, images: Tensor, rule: StepRule, inner: InnerStep) -> Gradient:
    """Return the gradient of eqs. 8 and 9: ``L_train(p) + L_test(p after a step on L_train)``.

    Yang et al., Towards Robust Person Re-identification by Defending Against Universal Attackers,
    Algorithm 1. The temporary step works on a copy, and the rule's memory is read but not written;
    the released code keeps the step, see :class:`InnerStep`. Entries that the step would move
    beyond their bounds get no gradient from the meta-test.

    Args:
        losses_of: losses of the meta-test images.
        images: images of the meta-test, (M, 3, H, W) in [0, 1].
        rule: the step rule.
        inner: the temporary step.
    """

    def gradient(train_losses: Losses, perturbation: Perturbation, train: Tensor) -> Tensor:
        assert isinstance(perturbation, UniversalPerturbation)
        parameters = list(perturbation.parameters())
        losses = train_losses(perturbation(train))
        train_gradients = torch.autograd.grad(
            losses.mean(), parameters, create_graph=inner.differentiated
        )
        moved = _stepped(perturbation, train_gradients, rule, inner)
        tested = losses_of(functional_call(perturbation, moved, (images,)))
        test_gradients = torch.autograd.grad(tested.mean(), parameters)
        for parameter, train_gradient, test_gradient in zip(
            parameters, train_gradients, test_gradients, strict=True
        ):
            parameter.grad = train_gradient.detach() + test_gradient
        if inner.kept:
            with torch.no_grad():
                for name, parameter in perturbation.named_parameters():
                    parameter.copy_(moved[name])
        return losses.detach()

    return gradient


def _stepped(
    perturbation: UniversalPerturbation,
    gradients: Sequence[Tensor],
    rule: StepRule,
    inner: InnerStep,
) -> dict[str, Tensor]:
    """Return name -> value after the temporary step, within bounds; differentiable."""
    settings = {p: group for group in rule.param_groups for p in group["params"]}
    limits, moved = perturbation.limits(), {}
    for (name, parameter), gradient in zip(perturbation.named_parameters(), gradients, strict=True):
        group = settings[parameter]
        memory = None if inner.kept else rule.state[parameter].get("memory")
        direction = running(gradient, memory, group.get("momentum", 0))
        unit = direction.sign() if inner.kind == "sign" else _mean_one(direction)
        step = unit * (group["lr"] if inner.step_size is None else inner.step_size)
        step = step if inner.differentiated else step.detach()
        moved[name] = (parameter + step).clamp(*limits[name])
    return moved


def _mean_one(direction: Tensor) -> Tensor:
    size = direction.abs().mean().clamp_min(torch.finfo(direction.dtype).tiny)
    return direction / size
