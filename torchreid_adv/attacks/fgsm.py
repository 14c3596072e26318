"""FGSM, I-FGSM and MI-FGSM on a re-ID metric: three settings of the gradient loop."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.loop.gradient_attack import GradientAttack
from torchreid_adv.attacks.loop.gradients import Gradient, exact
from torchreid_adv.attacks.loop.objectives import MetricDistance, Objective
from torchreid_adv.attacks.loop.perturbations import LinfDelta
from torchreid_adv.attacks.loop.steps import SignStep
from torchreid_adv.core.pixels import from_levels, to_levels
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, suggest


def sign_attack(
    objective: Objective,
    budget: Budget,
    *,
    gradient: Gradient = exact,
    start: str = "zero",
    score: bool = True,
) -> GradientAttack:
    """Build the loop of a sign-step attack.

    Args:
        objective: the objective to raise.
        budget: with step_size and steps; without momentum, steps follow the gradient alone.
        gradient: computes the gradient.
        start: ``zero``, ``random`` or ``if_stuck``.
        score: also compute the losses of the result.

    Raises:
        ConfigError: the budget lacks step_size or steps, or has no step.
    """
    lr, momentum = budget.required("step_size"), budget.momentum
    return GradientAttack(
        objective,
        LinfDelta(budget.eps),
        functools.partial(SignStep, lr=lr, momentum=0.0 if momentum is None else momentum),
        budget.required("steps"),
        gradient=gradient,
        start=start,
        seed=budget.seed,
        precision=budget.precision,
        score=score,
    )


PAPER = "Bai et al., Adversarial Metric Attack and Defense for Person Re-identification, 2020"
ROUNDING: dict[str, Callable[[float], int]] = {
    "floor": math.floor,
    "round": round,
    "ceil": math.ceil,
}


def iteration_rule(eps: float, rounding: str = "floor") -> int:
    """Return ``min(eps + 4, 1.25 eps)`` steps, eps in gray levels (Kurakin et al.), at least 1.

    Args:
        eps: bound in [0, 1].
        rounding: ``floor`` as in the metric attack's code, ``round`` as in ODFA's, or ``ceil``.
    """
    if rounding not in ROUNDING:
        raise ConfigError(f"unknown rounding '{rounding}'{suggest(rounding, ROUNDING)}")
    levels = round(to_levels(eps), 6)  # 5 / 255 * 255 is not exactly 5
    return max(1, ROUNDING[rounding](min(levels + 4, 1.25 * levels)))


@attack("fgsm", paper=PAPER, title="one step of size eps")
def fgsm(budget: Budget, distance: Distance, *, targeted: bool = False) -> GradientAttack:
    """Build FGSM: one sign step of size eps (eq. 5).

    Options:
        targeted: pull instead of push.
    """
    once = dataclasses.replace(budget, step_size=budget.eps, steps=1)
    return sign_attack(MetricDistance(distance, targeted=targeted), once)


@attack(
    "ifgsm",
    paper=PAPER,
    title="sign steps, clamped into the eps-ball",
    step_size=from_levels(1),
    steps=iteration_rule,
)
def ifgsm(
    budget: Budget, distance: Distance, *, rounding: str = "floor", targeted: bool = False
) -> GradientAttack:
    """Build I-FGSM: sign steps of one gray level from the clean image (eq. 6).

    Options:
        steps: None = :func:`iteration_rule`.
        rounding: rounding of that rule.
        targeted: pull instead of push.
    """
    return sign_attack(MetricDistance(distance, targeted=targeted), budget)


@attack(
    "mifgsm",
    paper=PAPER,
    title="sign steps along a running sum of gradients",
    step_size=from_levels(1),
    steps=iteration_rule,
    momentum=1.0,
)
def mifgsm(
    budget: Budget, distance: Distance, *, rounding: str = "floor", targeted: bool = False
) -> GradientAttack:
    """Build MI-FGSM: I-FGSM along a running sum of L1-normalized gradients (eq. 7).

    Options:
        steps: None = :func:`iteration_rule`.
        rounding: rounding of that rule.
        targeted: pull instead of push.
    """
    return sign_attack(MetricDistance(distance, targeted=targeted), budget)
