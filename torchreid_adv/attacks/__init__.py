"""Attacks on the metric by which a re-ID model ranks."""

from torchreid_adv.attacks.build import build_attack, configured_attack
from torchreid_adv.attacks.fitted import Fitted
from torchreid_adv.attacks.fitting import UniversalFit
from torchreid_adv.attacks.gradient_attack import Adversarial, Attack, GradientAttack
from torchreid_adv.attacks.objectives import MetricDistance, Objective
from torchreid_adv.attacks.perturbations import LinfDelta, Perturbation
from torchreid_adv.attacks.references import References
from torchreid_adv.attacks.steps import SignStep, StepRule
from torchreid_adv.attacks.universal import UniversalPerturbation

__all__ = [
    "Adversarial",
    "Attack",
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
    "build_attack",
    "configured_attack",
]
