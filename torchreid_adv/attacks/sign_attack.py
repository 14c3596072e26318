"""Sign steps within an L-infinity ball: what most named attacks are a row of."""

from __future__ import annotations

import functools

from torchreid_adv.attacks.gradient_attack import GradientAttack
from torchreid_adv.attacks.gradients import Gradient, exact
from torchreid_adv.attacks.objectives import Objective
from torchreid_adv.attacks.perturbations import LinfDelta
from torchreid_adv.attacks.steps import SignStep


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
