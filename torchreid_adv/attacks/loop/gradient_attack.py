"""The loop of all gradient attacks."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, overload

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.loop.gradients import Gradient, exact, expectation
from torchreid_adv.attacks.loop.objectives import Losses, Objective
from torchreid_adv.attacks.loop.perturbations import Perturbation
from torchreid_adv.attacks.loop.randomness import seeded
from torchreid_adv.attacks.loop.steps import StepRule
from torchreid_adv.attacks.references import References
from torchreid_adv.attacks.tensors import Labels, on_tensors
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.described import Described
from torchreid_adv.core.pixels import to_levels
from torchreid_adv.defenses.defended import eot_samples
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.features import Features
from torchreid_adv.models.prepare import prepared

STARTS = ("zero", "random", "if_stuck")
KEPT = ("last", "best")
_ROUNDING = 1e-10  # squared feature distances below this come from rounding
_TINY = 1e-12  # a gradient whose sum over an image is below this comes from rounding


@dataclass(frozen=True)
class Adversarial:
    """The result of an attack.

    Args:
        images: (N, 3, H, W) in [0, 1].
        before: (N,) losses of the clean images (of the random start, if there is one).
        after: (N,) losses of the adversarial images.
        zero_gradient: (N,) bool, images whose gradient was zero in every step and did not move.
        trace: (steps + 1, N) losses before each step and, if the attack scores, at the end.
    """

    images: Tensor
    before: Tensor
    after: Tensor
    zero_gradient: Tensor
    trace: Tensor

    def facts(self) -> dict[str, Tensor]:
        """Return what else a run stores for each image: name -> (N,) or (rows, N)."""
        return {}

    def stages(self) -> dict[int, Tensor]:
        """Return intermediate images to score: number of queries so far -> (N, 3, H, W)."""
        return {}


class Attack(Protocol):
    """Anything that can attack a batch."""

    name: str

    @property
    def linf(self) -> float | None:
        """L-infinity bound in [0, 1], None without a bound."""
        ...

    def describe(self) -> dict[str, Any]:
        """Describe the attack for a report."""
        ...

    @overload
    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Adversarial: ...

    @overload
    def __call__(
        self,
        model: nn.Module | str,
        batch: Tensor,
        references: References | None = None,
        *,
        pids: Labels = None,
        camids: Labels = None,
        gallery: Tensor | Features | None = None,
        gallery_pids: Labels = None,
    ) -> Tensor: ...

    def __call__(self, model: Any, batch: Any, references: Any = None, **labels: Any) -> Any:
        """Return the adversarial form of a batch, or of images, see :func:`takes_tensors`."""
        ...


def takes_tensors(call: Callable[..., Adversarial]) -> Callable[..., Any]:
    """Let the ``__call__`` of an attack take plain images (N, 3, H, W) as well as a batch.

    A call with a tensor returns a tensor and has further keywords, see :func:`on_tensors`.
    """

    @functools.wraps(call)
    def attack(
        self: Attack, model: Any, batch: Any, references: References | None = None, **labels: Any
    ) -> Any:
        if isinstance(batch, Batch):
            return call(self, model, batch, references, **labels)
        return on_tensors(call, self, model, batch, references, **labels)

    return attack


class GradientAttack(Described):
    """Follow the gradient of an objective for some steps within the bounds of a perturbation.

    Args:
        objective: the objective to raise.
        perturbation: what moves; a copy is used, so an attack can be called again.
        step_rule: parameters -> StepRule.
        steps: number of steps.
        gradient: computes the gradient; behind a random defense, averaged over its draws.
        start: ``zero`` = the clean image, ``random`` = uniform noise within the bounds,
            ``if_stuck`` = such noise for images with a negligible gradient.
        keep: ``last`` = the point after the last step, ``best`` = the point with the largest loss,
            per image.
        seed: seed of the random start and of all random numbers in the model.
        precision: ``fp32`` or ``bf16``, number format inside the networks.
        score: also compute the losses at the end, by one more forward pass; otherwise those before
            the last step are returned, which is enough for training.

    Example:
        >>> attack = GradientAttack(MetricDistance(distance), LinfDelta(5 / 255),
        ...                         partial(SignStep, lr=1 / 255), steps=6)
        >>> adversarial = attack(model, Batch(images, pids=pids), References(features))
    """

    def __init__(
        self,
        objective: Objective,
        perturbation: Perturbation,
        step_rule: Callable[[Iterable[nn.Parameter]], StepRule],
        steps: int,
        *,
        gradient: Gradient = exact,
        start: str = "zero",
        keep: str = "last",
        seed: int = 0,
        precision: str = "fp32",
        score: bool = True,
    ) -> None:
        if steps < 1:
            raise ConfigError(f"an attack needs at least one step, got steps={steps}")
        if start not in STARTS:
            raise ConfigError(f"start is one of {', '.join(STARTS)}, got '{start}'")
        if keep not in KEPT or (keep == "best" and not score):
            raise ConfigError(f"keep is one of {', '.join(KEPT)}, best with score; got '{keep}'")
        self.name = type(objective).__name__
        self.objective = objective
        self.perturbation = perturbation
        self.step_rule = step_rule
        self.steps = steps
        self.gradient = gradient
        self.start = start
        self.keep = keep
        self.seed = seed
        self.precision = precision
        self.score = score

    def describe(self) -> dict[str, Any]:
        """Describe the attack for a report, lengths in gray levels."""
        rule = getattr(self.step_rule, "keywords", {})
        return {
            "eps": None if self.linf is None else round(to_levels(self.linf), 6),
            "step_size": round(to_levels(rule["lr"]), 6) if "lr" in rule else None,
            "steps": self.steps,
            "momentum": rule.get("momentum"),
            "start": self.start,
            **({"keep": self.keep} if self.keep != "last" else {}),
            "seed": self.seed,
            "precision": self.precision,
            **self.perturbation.describe(),
            **self.objective.describe(),
        }

    @property
    def linf(self) -> float | None:
        """L-infinity bound in [0, 1], None without a bound."""
        return getattr(self.perturbation, "eps", None)

    @takes_tensors
    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Adversarial:
        """Attack a batch; the model, the batch and the random state are left unchanged.

        Args:
            model: images in [0, 1] with ``sizes`` -> features, such as a PixelModel.
            batch: clean images.
            references: references for the objective.

        Raises:
            ConfigError: the objective spans a whole batch: results would depend on other images.
        """
        if self.objective.scope == "batch" and self.score:  # training does not score
            raise ConfigError(
                f"{type(self.objective).__name__} depends on an image's neighbors in its batch; "
                "learn a universal perturbation with it (UniversalFit)"
            )
        with prepared(model, batch.images, precision=self.precision) as ready:
            embed = batch.embed(ready)
            gradient = expectation(eot_samples(ready), of=self.gradient)
            with torch.enable_grad():
                return self._run(embed, batch, references, gradient)

    def _run(
        self,
        embed: Callable[[Tensor], Tensor],
        batch: Batch,
        references: References | None,
        gradient: Gradient,
    ) -> Adversarial:
        bind = functools.partial(self.objective.bind, embed, batch, references)
        perturbation = copy.deepcopy(self.perturbation)
        perturbation.reset(batch)
        find = functools.partial(self._gradient, gradient)
        if self.start != "zero":
            stuck = None
            if self.start == "if_stuck":
                stuck = _is_stuck(find(bind(), perturbation, batch, 0), perturbation)
            perturbation.randomize(batch.rng(self.seed, "start"), stuck)
        losses_of = bind()
        rule = self.step_rule(perturbation.parameters())
        project = functools.partial(perturbation.project, batch.images)
        trace, moved = [], torch.zeros(len(batch), dtype=torch.bool, device=batch.images.device)
        best = _Best() if self.keep == "best" else None
        for step in range(self.steps):
            losses = find(losses_of, perturbation, batch, step)
            moved |= _has_gradient(perturbation, len(batch))
            trace.append(losses)
            if best is not None:
                best.see(losses, perturbation(batch.images))
            rule.step(losses, project)
        with torch.no_grad(), seeded(self.seed, batch, self.steps):
            images = perturbation(batch.images).detach().clone()
            if self.score:
                trace.append(losses_of(images))
        after = trace[-1]
        if best is not None:
            images, after = best.see(after, images)
        return Adversarial(images, trace[0], after, ~moved, torch.stack(trace))

    def _gradient(
        self,
        gradient: Gradient,
        losses_of: Losses,
        perturbation: Perturbation,
        batch: Batch,
        step: int,
    ) -> Tensor:
        with seeded(self.seed, batch, step):
            return gradient(losses_of, perturbation, batch.images)


class _Best:
    """The images that had the largest loss so far."""

    def __init__(self) -> None:
        self.images: Tensor | None = None

    def see(self, losses: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Update the best images and losses, and return them."""
        if self.images is None:
            self.images, self.losses = images.detach().clone(), losses.clone()
        better = losses > self.losses
        self.images[better] = images.detach()[better]
        self.losses = torch.where(better, losses, self.losses)
        return self.images, self.losses


def _is_stuck(losses: Tensor, perturbation: Perturbation) -> Tensor:
    """Return which images (N,) could only move by rounding errors."""
    sizes = [
        p.grad.flatten(1).abs().sum(1) for p in perturbation.parameters() if p.grad is not None
    ]
    totals = torch.stack([size.expand(len(losses)) for size in sizes]).sum(0)
    return (losses.abs() < _ROUNDING) | (totals < _TINY)


def _has_gradient(perturbation: Perturbation, count: int) -> Tensor:
    has_gradient = [
        parameter.grad.flatten(1).ne(0).any(1).expand(count)
        for parameter in perturbation.parameters()
        if parameter.grad is not None
    ]
    return torch.stack(has_gradient).any(0)
