"""PGD and APGD on a re-ID metric: sign steps from a random start, of fixed or falling size."""

from __future__ import annotations

import functools

from torchreid_adv.attacks.apgd import AutoStep
from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.fgsm import sign_attack
from torchreid_adv.attacks.loop.gradient_attack import GradientAttack
from torchreid_adv.attacks.loop.objectives import MetricDistance, Objective
from torchreid_adv.attacks.loop.perturbations import LinfDelta
from torchreid_adv.distances import Distance

MADRY = "Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018"
CROCE = (
    "Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse "
    "Parameter-free Attacks, 2020"
)
_REACH = 2.5  # total length of the steps in bounds, enough to cross the ball


def _reaching(eps: float, steps: int) -> float:
    """Return the step size for a total length of 2.5 bounds; 1 crosses any image."""
    return min(1.0, _REACH * eps / max(steps, 1))


@attack(
    "pgd",
    paper=MADRY,
    title="sign steps from a random start within the eps-ball",
    step_size=_reaching,
    steps=20,
)
def pgd(budget: Budget, distance: Distance, *, targeted: bool = False) -> GradientAttack:
    """Build PGD: I-FGSM from uniform noise in the eps-ball, drawn separately for each image.

    Options:
        step_size: pixel units of [0, 1]; None = 2.5 eps / steps.
        targeted: pull instead of push.
    """
    return sign_attack(MetricDistance(distance, targeted=targeted), budget, start="random")


@attack("apgd", paper=CROCE, title="PGD whose step halves where it no longer helps", steps=100)
def apgd(
    budget: Budget, distance: Distance, *, start: str = "random", targeted: bool = False
) -> GradientAttack:
    """Build APGD (algorithm 1): momentum, first steps of twice the bound, and the best point kept.

    The loss is the metric's, instead of the paper's classification losses.

    Options:
        steps: number of steps; the schedule of the step size follows from it.
        start: ``random`` as in the paper, or ``zero``, the clean image.
        targeted: pull instead of push.
    """
    return apgd_of(MetricDistance(distance, targeted=targeted), budget, start=start)


def apgd_of(objective: Objective, budget: Budget, *, start: str = "zero") -> GradientAttack:
    """Build APGD on an objective: steps of twice the bound that halve, the best point kept.

    Args:
        objective: the objective to raise.
        budget: the budget, with steps.
        start: ``zero`` or ``random``.

    Raises:
        ConfigError: the budget lacks steps, or has no step.
    """
    steps = budget.required("steps")
    return GradientAttack(
        objective,
        LinfDelta(budget.eps),
        functools.partial(AutoStep, lr=2 * budget.eps, steps=steps),
        steps,
        start=start,
        keep="best",
        seed=budget.seed,
        precision=budget.precision,
    )
