"""FGSM, I-FGSM and MI-FGSM on a re-ID metric: three rows of the one loop."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from torchreid_adv.attacks.loop.gradient_attack import GradientAttack
from torchreid_adv.attacks.loop.gradients import Gradient, exact
from torchreid_adv.attacks.loop.objectives import MetricDistance, Objective
from torchreid_adv.attacks.loop.perturbations import LinfDelta
from torchreid_adv.attacks.loop.steps import SignStep
from torchreid_adv.core.pixels import from_levels, to_levels
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.registry import ATTACKS


def sign_attack(
    objective: Objective,
    eps: float,
    *,
    step_size: float,
    steps: int,
    momentum: float = 0.0,
    gradient: Gradient = exact,
    start: str = "zero",
    seed: int = 0,
    precision: str = "fp32",
    score: bool = True,
) -> GradientAttack:
    """Build the loop of an attack that takes sign steps.

    Args:
        objective: what grows.
        eps: L-infinity bound, pixel units of [0, 1].
        step_size: pixel units of [0, 1].
        steps: how many.
        momentum: decay of the running sum of L1-normalized gradients; 0 = the gradient alone.
        gradient: how it is found.
        start: ``zero``, ``random`` or ``if_stuck``.
        seed: of everything random.
        precision: ``fp32`` or ``bf16``.
        score: compute the losses of the result, too.
    """
    return GradientAttack(
        objective,
        LinfDelta(eps),
        functools.partial(SignStep, lr=step_size, momentum=momentum),
        steps,
        gradient=gradient,
        start=start,
        seed=seed,
        precision=precision,
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
        rounding: ``floor`` as the metric attack's code, ``round`` as ODFA's, or ``ceil``.
    """
    if rounding not in ROUNDING:
        raise ConfigError(f"unknown rounding '{rounding}'{suggest(rounding, ROUNDING)}")
    levels = round(to_levels(eps), 6)  # 5 / 255 * 255 is not quite 5
    return max(1, ROUNDING[rounding](min(levels + 4, 1.25 * levels)))


def _steps(steps: int | None, eps: float, rounding: str) -> int:
    return iteration_rule(eps, rounding) if steps is None else steps


@ATTACKS.register("fgsm", paper=PAPER, title="one step of size eps")
def fgsm(
    *,
    eps: float,
    distance: Distance,
    targeted: bool = False,
    seed: int = 0,
    precision: str = "fp32",
) -> GradientAttack:
    """Build FGSM: one sign step of size eps (eq. 5)."""
    objective = MetricDistance(distance, targeted=targeted)
    return sign_attack(objective, eps, step_size=eps, steps=1, seed=seed, precision=precision)


@ATTACKS.register("ifgsm", paper=PAPER, title="sign steps, clamped into the eps-ball")
def ifgsm(
    *,
    eps: float,
    distance: Distance,
    step_size: float = from_levels(1),
    steps: int | None = None,
    rounding: str = "floor",
    targeted: bool = False,
    seed: int = 0,
    precision: str = "fp32",
) -> GradientAttack:
    """Build I-FGSM: sign steps of one gray level from the clean image (eq. 6).

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that is attacked.
        step_size: pixel units of [0, 1].
        steps: None = :func:`iteration_rule`.
        rounding: of that rule.
        targeted: pull instead of push.
        seed: of everything random inside the model.
        precision: ``fp32`` or ``bf16``.
    """
    return sign_attack(
        MetricDistance(distance, targeted=targeted),
        eps,
        step_size=step_size,
        steps=_steps(steps, eps, rounding),
        seed=seed,
        precision=precision,
    )


@ATTACKS.register("mifgsm", paper=PAPER, title="sign steps along a running sum of gradients")
def mifgsm(
    *,
    eps: float,
    distance: Distance,
    step_size: float = from_levels(1),
    steps: int | None = None,
    momentum: float = 1.0,
    rounding: str = "floor",
    targeted: bool = False,
    seed: int = 0,
    precision: str = "fp32",
) -> GradientAttack:
    """Build MI-FGSM: I-FGSM along a running sum of L1-normalized gradients (eq. 7).

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that is attacked.
        step_size: pixel units of [0, 1].
        steps: None = :func:`iteration_rule`.
        momentum: decay of the running sum.
        rounding: of the iteration rule.
        targeted: pull instead of push.
        seed: of everything random inside the model.
        precision: ``fp32`` or ``bf16``.
    """
    return sign_attack(
        MetricDistance(distance, targeted=targeted),
        eps,
        step_size=step_size,
        steps=_steps(steps, eps, rounding),
        momentum=momentum,
        seed=seed,
        precision=precision,
    )
