"""APGD: momentum and a step size that halves when it stops helping; and its targeted form."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.loop.gradient_attack import Adversarial, GradientAttack, takes_tensors
from torchreid_adv.attacks.loop.steps import Project, StepRule
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.described import Described
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.prepare import prepared

MOMENTUM, IMPROVED = 0.75, 0.75  # alpha and rho of the paper


def checkpoints(steps: int) -> list[int]:
    """Return the steps after which the step size is reconsidered.

    Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse
    Parameter-free Attacks, 2020, section 3: periods of 22 % of the steps, each shorter than the one
    before by 3 % of the steps, at least 6 %.
    """
    period, least, less = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    checked_steps, place = [], period
    while place < steps:
        checked_steps.append(place)
        period = max(period - less, least)
        place += period
    return checked_steps


class AutoStep(StepRule):
    """Sign steps with momentum, with a step size that halves per image as in APGD.

    At each checkpoint, an image continues from its best point with half the step if its loss rose
    in less than 75 % of the steps since the last checkpoint, or if its best loss and step size have
    not changed since then (Croce and Hein, algorithm 1). Use it with ``keep="best"``.

    Args:
        parameters: parameters to move, first dimension = images.
        lr: initial step size, pixel units of [0, 1]; the paper's is twice the bound.
        steps: total number of steps.

    Raises:
        ConfigError: steps is below 1.
    """

    def __init__(self, parameters: Iterable[Tensor], *, lr: float, steps: int) -> None:
        if steps < 1:
            raise ConfigError(f"APGD takes one step or more, got steps={steps}")
        super().__init__(parameters, {"lr": lr})
        self.checkpoints, self.steps_done = checkpoints(steps), 0

    @torch.no_grad()
    def step(self, losses: Tensor, project: Project) -> None:  # type: ignore[override]
        """Reconsider the step size at a checkpoint; move along the sign and last move; project."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._look_back(parameter, losses, group["lr"])
                    self._move(parameter, project)
        self.steps_done += 1

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
        if self.steps_done in self.checkpoints:
            self._halve(parameter, gradient, self._period())

    def _period(self) -> int:
        place = self.checkpoints.index(self.steps_done)
        return self.steps_done - (self.checkpoints[place - 1] if place else 0)

    def _halve(self, parameter: Tensor, gradient: Tensor, period: int) -> None:
        state = self.state[parameter]
        stuck = ~state["halved"] & (state["best_then"] >= state["best"])
        halved = (state["risen"] <= IMPROVED * period) | stuck
        state |= {"halved": halved, "best_then": state["best"].clone()}
        state["risen"] = torch.zeros_like(state["risen"])
        state["size"][halved] /= 2
        parameter[halved], gradient[halved] = state["place"][halved], state["way"][halved]

    def _move(self, parameter: Tensor, project: Project) -> None:
        state, start_point = self.state[parameter], parameter.clone()
        assert parameter.grad is not None
        parameter += parameter.grad.sign() * state["size"]
        project()
        share = MOMENTUM if self.steps_done else 1.0
        mixed = (
            start_point
            + (parameter - start_point) * share
            + (start_point - state["before"]) * (1 - share)
        )
        parameter.copy_(mixed)
        project()
        state["before"] = start_point


class PullToNearest(Described):
    """A targeted attack on each image's n-th nearest wrong identity.

    Args:
        attack: targeted attack, which moves toward the references.
        distance: ranks identities, by the mean distance to all of their features.
        place: 0 = the nearest wrong identity, 1 = the next one, and so on.
    """

    precision = "fp32"

    def __init__(self, attack: GradientAttack, distance: Distance, *, place: int) -> None:
        self.attack, self.distance, self.place = attack, distance, place
        self.linf, self.name = attack.linf, f"pull_{place + 1}"

    def describe(self) -> dict[str, Any]:
        """Describe the attack for a report."""
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
            target_ids = self._targets(clean, batch.pids, references, batch)
            targets = dict(zip(batch.image_ids, target_ids.tolist(), strict=True))
            targeted_references = dataclasses.replace(references, rule="all", targets=targets)
            return self.attack(ready, batch, targeted_references)

    def _targets(self, clean: Tensor, pids: Tensor, references: References, batch: Batch) -> Tensor:
        """Return the target identity (N,) of each image."""
        known, centers = references.centers(self.distance, batch.images)
        if self.place > len(known) - 2:
            raise ConfigError(
                f"there are {len(known)} identities to pull to, so no wrong one number "
                f"{self.place + 1}"
            )
        apart = torch.cdist(clean, centers)
        apart[pids.to(known.device)[:, None] == known] = float("inf")
        return known[apart.argsort(dim=1, stable=True)[:, self.place]]
