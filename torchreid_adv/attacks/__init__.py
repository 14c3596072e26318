"""Attacks on the distance that a re-ID model ranks by."""

from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.build import build_attack, configured_attack
from torchreid_adv.attacks.learned.fitted import Fitted
from torchreid_adv.attacks.learned.meta_attack import UniversalFit
from torchreid_adv.attacks.learned.universal import UniversalPerturbation
from torchreid_adv.attacks.loop.gradient_attack import Adversarial, Attack, GradientAttack
from torchreid_adv.attacks.loop.objectives import MetricDistance, Objective
from torchreid_adv.attacks.loop.perturbations import LinfDelta, Perturbation
from torchreid_adv.attacks.loop.steps import SignStep, StepRule
from torchreid_adv.attacks.references import References

__all__ = [
    "Adversarial",
    "Attack",
    "Budget",
    "Fitted",
    "GradientAttack",
    "LinfDelta",
    "MetricDistance",
    "Objective",
    "Perturbation",
    "References",
    "SignStep",
    "StepRule",
    "UniversalFit",
    "UniversalPerturbation",
    "attack",
    "build_attack",
    "configured_attack",
]
