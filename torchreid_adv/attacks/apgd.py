"""APGD: momentum, a step that halves where it no longer helps, and its targeted form."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.loop.gradient_attack import Adversarial, GradientAttack
from torchreid_adv.attacks.loop.steps import Project, StepRule
from torchreid_adv.attacks.references import References
from torchreid_adv.attacks.tensors import takes_tensors
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.described import Described
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.prepare import prepared

MOMENTUM, IMPROVED = 0.75, 0.75  # alpha and rho of the paper


def checkpoints(steps: int) -> list[int]:
    """Return the steps after which the step size is looked at.

    Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse
    Parameter-free Attacks, 2020, section 3: periods of 22 % of the steps, each 3 % shorter than the
    one before, 6 % at least.
    """
    period, least, less = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    found, place = [], period
    while place < steps:
        found.append(place)
        period = max(period - less, least)
        place += period
    return found


class AutoStep(StepRule):
    """Sign steps with momentum whose size halves, image by image, as APGD's does.

    At each checkpoint an image whose loss rose in less than 75 % of the steps since the last one,
    or whose best loss and step size have not changed since, goes on from its best point with half
    the step (Croce and Hein, algorithm 1). Use it with ``keep="best"``.

    Args:
        parameters: to move, first dimension = images.
        lr: size of the first steps, pixel units of [0, 1]; the paper's is twice the bound.
        steps: how many there will be.

    Raises:
        ConfigError: no step.
    """

    def __init__(self, parameters: Iterable[Tensor], *, lr: float, steps: int) -> None:
        if steps < 1:
            raise ConfigError(f"APGD takes one step or more, got steps={steps}")
        super().__init__(parameters, {"lr": lr})
        self.checkpoints, self.done = checkpoints(steps), 0

    @torch.no_grad()
    def step(self, losses: Tensor, project: Project) -> None:  # type: ignore[override]
        """Look back at a checkpoint, then move along the sign and the last movement, project."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._look_back(parameter, losses, group["lr"])
                    self._move(parameter, project)
        self.done += 1

    @torch.no_grad()
    def preview(self) -> list[tuple[Tensor, Tensor]]:
        """Return (parameter, a plain sign step of its present size), changing nothing."""
        found = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    size = self.state[parameter].get("size", group["lr"])
                    found.append((parameter, parameter + parameter.grad.sign() * size))
        return found

    def _look_back(self, parameter: Tensor, losses: Tensor, lr: float) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            size = losses.new_full(losses.shape, lr).view(-1, *[1] * (parameter.ndim - 1))
            state |= {"size": size, "before": parameter.clone(), "risen": torch.zeros_like(losses)}
            state |= {"best": losses.clone(), "place": parameter.clone(), "way": gradient.clone()}
            state |= {"best_then": losses.clone(), "last": losses.clone()}
            state["halved"] = torch.ones_like(losses, dtype=torch.bool)
            return
        better = losses > state["best"]
        state["best"] = torch.where(better, losses, state["best"])
        state["place"][better], state["way"][better] = parameter[better], gradient[better]
        state["risen"] += losses > state["last"]
        state["last"] = losses.clone()
        if self.done in self.checkpoints:
            self._halve(parameter, gradient, self._period())

    def _period(self) -> int:
        place = self.checkpoints.index(self.done)
        return self.done - (self.checkpoints[place - 1] if place else 0)

    def _halve(self, parameter: Tensor, gradient: Tensor, period: int) -> None:
        state = self.state[parameter]
        stuck = ~state["halved"] & (state["best_then"] >= state["best"])
        halved = (state["risen"] <= IMPROVED * period) | stuck
        state |= {"halved": halved, "best_then": state["best"].clone()}
        state["risen"] = torch.zeros_like(state["risen"])
        state["size"][halved] /= 2
        parameter[halved], gradient[halved] = state["place"][halved], state["way"][halved]

    def _move(self, parameter: Tensor, project: Project) -> None:
        state, here = self.state[parameter], parameter.clone()
        assert parameter.grad is not None
        parameter += parameter.grad.sign() * state["size"]
        project()
        share = MOMENTUM if self.done else 1.0
        mixed = here + (parameter - here) * share + (here - state["before"]) * (1 - share)
        parameter.copy_(mixed)
        project()
        state["before"] = here


class PullToNearest(Described):
    """A targeted attack whose target is the wrong identity that is so-and-so near, of each image.

    Args:
        attack: targeted, towards references.
        distance: by which identities are near: mean distance to all features of theirs.
        place: 0 = the nearest wrong identity, 1 = the next one...
    """

    precision = "fp32"

    def __init__(self, attack: GradientAttack, distance: Distance, *, place: int) -> None:
        self.attack, self.distance, self.place = attack, distance, place
        self.linf, self.name = attack.linf, f"pull_{place + 1}"

    def describe(self) -> dict[str, Any]:
        """Return what a report says of the attack."""
        return {**self.attack.describe(), "target": f"wrong identity number {self.place + 1}"}

    @takes_tensors
    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Adversarial:
        """Return the adversarial form of a batch.

        Raises:
            ConfigError: no references, no pids, or too few wrong identities.
        """
        if references is None or batch.pids is None:
            raise ConfigError("this attack needs references, and Batch(images, pids=...)")
        with prepared(model, batch.images) as ready:
            with torch.no_grad():
                clean = self.distance.map(batch.embed(ready)(batch.images))
            chosen = self._targets(clean, batch.pids, references, batch)
            targets = dict(zip(batch.image_ids, chosen.tolist(), strict=True))
            own = dataclasses.replace(references, rule="all", targets=targets)
            return self.attack(ready, batch, own)

    def _targets(self, clean: Tensor, pids: Tensor, references: References, batch: Batch) -> Tensor:
        """Return the identity (N,) that each image is pulled to."""
        known, centers = references.centers(self.distance, batch.images)
        if self.place > len(known) - 2:
            raise ConfigError(
                f"there are {len(known)} identities to pull to, so no wrong one number "
                f"{self.place + 1}"
            )
        apart = torch.cdist(clean, centers)
        apart[pids.to(known.device)[:, None] == known] = float("inf")
        return known[apart.argsort(dim=1, stable=True)[:, self.place]]
