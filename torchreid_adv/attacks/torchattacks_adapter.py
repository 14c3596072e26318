"""Attacks of torchattacks on a re-ID metric. The only module that imports torchattacks."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.loop.gradient_attack import Adversarial, takes_tensors
from torchreid_adv.attacks.loop.objectives import Losses, MetricDistance
from torchreid_adv.attacks.loop.randomness import PerImageDraws, same_size, seeded
from torchreid_adv.attacks.references import References
from torchreid_adv.attacks.torchattacks_methods import FIXED, TwoLogits, method
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.described import Described
from torchreid_adv.core.pixels import to_levels
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.models.prepare import prepared


class TorchattacksAttack(Described):
    """A torchattacks class on the mean distance to each image's references.

    Each image is attacked at its own size and with its own random numbers, so a batch gives the
    same results as its images one by one.

    Args:
        attack: name of the class.
        budget: None fields = defaults of the class; for an L2 class eps is the root mean square
            change of a pixel, so its radius is ``eps * sqrt(3 H W)``; step_size has the same unit.
        distance: the distance to attack.
        options: options of the class, by its names and in pixel units.
        tau: threshold, for classes that move an image until its distance crosses one.
        targeted: pull instead of push.

    Raises:
        ConfigError: torchattacks is missing, or the class or an option cannot be used.
    """

    def __init__(
        self,
        attack: str,
        budget: Budget,
        *,
        distance: Distance,
        options: Mapping[str, Any],
        tau: float | None,
        targeted: bool,
    ) -> None:
        self.name = attack.lower()
        self.attack, self.method = attack, method(attack, tau=tau)
        self.eps, self.step_size, self.tau = budget.eps, budget.step_size, tau
        self.distance, self.targeted = distance, targeted
        self.seed, self.precision = budget.seed, budget.precision
        self.options = dict(options)
        self._set("steps", self.method.steps, budget.steps)
        self._set("momentum", "decay", budget.momentum)
        self._check()

    @property
    def linf(self) -> float | None:
        """L-infinity bound in [0, 1], None for an L2 class."""
        return None if self.method.l2 else self.eps

    def describe(self) -> dict[str, Any]:
        """Describe the attack for a report, lengths in gray levels."""
        step = None if self.step_size is None else round(to_levels(self.step_size), 6)
        return {
            "torchattacks": self.attack,
            "eps": round(to_levels(self.eps), 6),
            "eps_is": "root mean square" if self.method.l2 else "L-infinity",
            "step_size": step,
            "tau": self.tau,
            "seed": self.seed,
            "precision": self.precision,
            **MetricDistance(self.distance, targeted=self.targeted).describe(),
            "options": self.options,
        }

    @takes_tensors
    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Adversarial:
        """Attack a batch; the model, the batch and the random state are left unchanged.

        ``zero_gradient`` of the result marks images that did not move, for whatever reason.

        Raises:
            ConfigError: the batch has tracklets, or references are missing.
            DataError: an image has no reference.
        """
        if batch.images.ndim != 4:
            raise ConfigError("torchattacks attacks still images (N, 3, H, W), not tracklets")
        with prepared(model, batch.images, precision=self.precision) as ready, torch.enable_grad():
            return self._run(ready, batch, references)

    def _run(self, ready: nn.Module, batch: Batch, references: References | None) -> Adversarial:
        images = batch.images.clone()
        before, after = (batch.images.new_zeros(len(batch)) for _ in range(2))
        sign = -1 if self.targeted else 1
        for rows, part in same_size(batch, alone=self.method.alone):
            losses_of = self._distances(ready, part, references)
            moved = self._bounded(self._moved(losses_of, part), part.images)
            height, width = moved.shape[-2:]
            images[rows, :, :height, :width] = moved
            with torch.no_grad(), seeded(self.seed, part, 0):
                before[rows] = sign * losses_of(part.images)
                after[rows] = sign * losses_of(moved)
        still = (images == batch.images).flatten(1).all(1)
        return Adversarial(images, before, after, still, torch.stack([before, after]))

    def _distances(self, ready: nn.Module, part: Batch, references: References | None) -> Losses:
        losses_of = MetricDistance(self.distance).bind(ready, part, references)
        if not self.method.alone or self.distance.squared_euclidean:
            return losses_of
        return lambda images: torch.cat([losses_of(image[None]) for image in images])

    def _moved(self, losses_of: Losses, part: Batch) -> Tensor:
        images, tau = part.images, self.tau
        if tau is None:  # torchattacks averages over the batch
            logits = TwoLogits(losses_of, images, scale=len(part))
        else:
            logits = TwoLogits.crossing(losses_of, images, tau)
            images = images.float()  # these classes mix dtypes
        attack = _class(self.attack)(logits, **self._keywords(images))
        labels = torch.zeros(len(part), dtype=torch.long, device=images.device)
        if self.targeted and tau is None:
            attack.set_mode_targeted_by_label(quiet=True)
        elif self.targeted:
            labels += 1  # from beyond the threshold back below it
        with seeded(self.seed, part, 0), self._noise(part):
            moved: Tensor = attack(images, labels)
        return torch.where(moved == images, part.images, moved.detach().to(part.images))

    @contextlib.contextmanager
    def _noise(self, part: Batch) -> Iterator[None]:
        generators = part.rng(self.seed, "torchattacks")
        if self.method.alone:
            torch.default_generator.manual_seed(generators[0].initial_seed())
            yield
        else:
            with PerImageDraws(generators):
                yield

    def _bounded(self, moved: Tensor, clean: Tensor) -> Tensor:
        moved = torch.where(moved.isfinite(), moved, clean)
        if not self.method.l2:
            moved = torch.minimum(torch.maximum(moved, clean - self.eps), clean + self.eps)
        return moved.clamp(0, 1)

    def _keywords(self, images: Tensor) -> dict[str, Any]:
        unit = math.sqrt(images[0].numel()) if self.method.l2 else 1.0
        keywords = dict(self.options)
        if self.method.eps:
            keywords[self.method.eps] = self.eps * unit
        if self.step_size is not None:
            keywords[self.method.step] = self.step_size * unit
        return keywords

    def _set(self, key: str, option: str, value: Any) -> None:
        if value is not None:
            if option not in _signature(self.attack):
                raise ConfigError(f"torchattacks' {self.attack} does not use {key}")
            self.options[option] = value

    def _check(self) -> None:
        known = _signature(self.attack)
        if self.step_size is not None and not self.method.step:
            raise ConfigError(f"torchattacks' {self.attack} does not use step_size")
        keys = {self.method.eps: "eps", self.method.step: "step_size"}
        for option in self.options:
            if option not in known:
                hint = suggest(option, set(known) - set(keys))
                raise ConfigError(f"torchattacks' {self.attack} takes no option '{option}'{hint}")
            if option in keys:
                raise ConfigError(
                    f"'{option}' of torchattacks' {self.attack} is set by {keys[option]}; "
                    "give it there"
                )
        if "seed" in known:
            self.options.setdefault("seed", self.seed)
        for option, value in FIXED.get(self.attack, {}).items():
            if self.options.get(option, value) != value:
                raise ConfigError(
                    f"torchattacks' {self.attack} is right on a metric with {option}={value!r} only"
                )
            self.options[option] = value


def _class(name: str) -> Callable[..., Any]:
    try:
        attack_class: Callable[..., Any] = getattr(importlib.import_module("torchattacks"), name)
    except ImportError as error:
        raise ConfigError(
            f"the attack 'torchattacks' needs the package torchattacks ({error}); "
            "pip install torchattacks"
        ) from error
    except AttributeError as error:
        raise ConfigError(
            f"the installed torchattacks has no {name}; pip install 'torchattacks>=3.5.1'"
        ) from error
    return attack_class


def _signature(name: str) -> Sequence[str]:
    return [key for key in inspect.signature(_class(name)).parameters if key != "model"]


@attack(
    "torchattacks",
    paper="Kim, Torchattacks: A PyTorch Repository for Adversarial Attacks, 2020",
    title="a class of torchattacks on the metric",
    step_size=None,
    steps=None,
    momentum=None,
)
def torchattacks(
    budget: Budget,
    distance: Distance,
    attack: str = "VMIFGSM",
    kwargs: Mapping[str, Any] | None = None,
    *,
    tau: float | None = None,
    targeted: bool = False,
) -> TorchattacksAttack:
    """Build an attack of torchattacks on a metric.

    Options:
        eps: bound, pixel units of [0, 1]: L-infinity, or for an L2 class the root mean square
            change of a pixel.
        attack: name of the class, such as ``VMIFGSM``.
        kwargs: options of the class by its names; lengths in pixel units of [0, 1].
        step_size: in the unit of eps; None = default of the class.
        steps: steps or queries; None = default of the class.
        momentum: its ``decay``; None = default of the class.
        tau: threshold, for the classes that move an image until its distance crosses one.
        targeted: pull instead of push.
    """
    return TorchattacksAttack(
        attack, budget, distance=distance, options=kwargs or {}, tau=tau, targeted=targeted
    )
