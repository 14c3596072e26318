"""PGD and APGD on a re-ID metric: sign steps from a random start, of one size or falling."""

from __future__ import annotations

import functools

from torchreid_adv.attacks.apgd import AutoStep
from torchreid_adv.attacks.fgsm import sign_attack
from torchreid_adv.attacks.loop.gradient_attack import GradientAttack
from torchreid_adv.attacks.loop.objectives import MetricDistance, Objective
from torchreid_adv.attacks.loop.perturbations import LinfDelta
from torchreid_adv.distances import Distance
from torchreid_adv.registry import ATTACKS

MADRY = "Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018"
CROCE = (
    "Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse "
    "Parameter-free Attacks, 2020"
)
_REACH = 2.5  # the steps together, in bounds: from any start any point of the ball is reached


@ATTACKS.register("pgd", paper=MADRY, title="sign steps from a random start within the eps-ball")
def pgd(
    *,
    eps: float,
    distance: Distance,
    step_size: float | None = None,
    steps: int = 20,
    targeted: bool = False,
    seed: int = 0,
    precision: str = "fp32",
) -> GradientAttack:
    """Build PGD: I-FGSM from uniform noise in the eps-ball, drawn for each image by itself.

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that is attacked.
        step_size: pixel units of [0, 1]; None = 2.5 eps / steps.
        steps: how many.
        targeted: pull instead of push.
        seed: of the start and of everything random inside the model.
        precision: ``fp32`` or ``bf16``.
    """
    return sign_attack(
        MetricDistance(distance, targeted=targeted),
        eps,
        step_size=_REACH * eps / max(steps, 1) if step_size is None else step_size,
        steps=steps,
        start="random",
        seed=seed,
        precision=precision,
    )


@ATTACKS.register("apgd", paper=CROCE, title="PGD whose step halves where it no longer helps")
def apgd(
    *,
    eps: float,
    distance: Distance,
    steps: int = 100,
    start: str = "random",
    targeted: bool = False,
    seed: int = 0,
    precision: str = "fp32",
) -> GradientAttack:
    """Build APGD (algorithm 1): steps with momentum, at first twice the bound; the best counts.

    The loss is the metric's, in the place of the paper's classification losses.

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that is attacked.
        steps: how many; the schedule of the step size follows from it.
        start: ``random`` as the paper, or ``zero``, the clean image.
        targeted: pull instead of push.
        seed: of the start and of everything random inside the model.
        precision: ``fp32`` or ``bf16``.
    """
    objective = MetricDistance(distance, targeted=targeted)
    return apgd_of(objective, eps, steps, start=start, seed=seed, precision=precision)


def apgd_of(
    objective: Objective,
    eps: float,
    steps: int,
    *,
    start: str = "zero",
    seed: int = 0,
    precision: str = "fp32",
) -> GradientAttack:
    """Build APGD on an objective: steps of twice the bound that halve, the best point kept.

    Args:
        objective: what grows.
        eps: L-infinity bound, pixel units of [0, 1].
        steps: how many.
        start: ``zero`` or ``random``.
        seed: of the random start.
        precision: ``fp32`` or ``bf16``.
    """
    rule = functools.partial(AutoStep, lr=2 * eps, steps=steps)
    return GradientAttack(
        objective,
        LinfDelta(eps),
        rule,
        steps,
        start=start,
        keep="best",
        seed=seed,
        precision=precision,
    )
