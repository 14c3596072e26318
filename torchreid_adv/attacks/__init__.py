"""Attacks on the metric by which a re-ID model ranks."""

from torchreid_adv.attacks.build import build_attack, configured_attack
from torchreid_adv.attacks.gradient_attack import Adversarial, Attack, GradientAttack
from torchreid_adv.attacks.objectives import MetricDistance, Objective
from torchreid_adv.attacks.perturbations import LinfDelta, Perturbation
from torchreid_adv.attacks.references import References
from torchreid_adv.attacks.steps import SignStep, StepRule

__all__ = [
    "Adversarial",
    "Attack",
    "GradientAttack",
    "LinfDelta",
    "MetricDistance",
    "Objective",
    "Perturbation",
    "References",
    "SignStep",
    "StepRule",
    "build_attack",
    "configured_attack",
]
