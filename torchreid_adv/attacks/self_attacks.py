"""SMA, LTA, ODFA and FNA: attacks whose reference is the image, or the furthest identity."""

from __future__ import annotations

from torchreid_adv.attacks.fgsm import iteration_rule
from torchreid_adv.attacks.gradient_attack import GradientAttack
from torchreid_adv.attacks.pairs import FurthestNegative
from torchreid_adv.attacks.self_reference import (
    OppositeDirection,
    SelfDistance,
    TransformedSelfDistance,
)
from torchreid_adv.attacks.sign_attack import sign_attack
from torchreid_adv.distances import Distance
from torchreid_adv.pixels import from_levels
from torchreid_adv.registry import ATTACKS
from torchreid_adv.transforms.lgt import LocalGrayscale

VULNERABILITY = (
    "Bouniot et al., Vulnerability of Person Re-Identification Models to Metric Adversarial "
    "Attacks, 2020"
)
JOINT = "Gong et al., Robust Person Re-identification with Multi-Modal Joint Defence, 2021"
U_TURN = "Zheng et al., U-turn: Crafting Adversarial Queries with Opposite-direction Features, 2022"
_LEVEL = from_levels(1)


@ATTACKS.register("sma", paper=VULNERABILITY, title="away from the image's own feature")
def sma(
    *,
    eps: float,
    distance: Distance,
    step_size: float = _LEVEL,
    steps: int = 15,
    seed: int = 0,
    precision: str = "fp32",
) -> GradientAttack:
    """Build the self metric attack: sign steps from a random start.

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that is attacked.
        step_size: pixel units of [0, 1].
        steps: number of steps.
        seed: of the random start.
        precision: ``fp32`` or ``bf16``.
    """
    return sign_attack(
        SelfDistance(distance),
        eps,
        step_size=step_size,
        steps=steps,
        start="random",
        seed=seed,
        precision=precision,
    )


def _lta(
    eps: float,
    distance: Distance,
    step_size: float,
    steps: int,
    momentum: float,
    legacy: bool,
    redraw: bool,
    seed: int,
    precision: str,
) -> GradientAttack:
    lgt = LocalGrayscale(p=1.0, legacy=legacy)
    return sign_attack(
        TransformedSelfDistance(distance, lgt, redraw=redraw, seed=seed),
        eps,
        step_size=step_size,
        steps=steps,
        momentum=momentum,
        start="if_stuck",
        seed=seed,
        precision=precision,
    )


@ATTACKS.register("lta", paper=JOINT, title="away from the own feature through grayscale patches")
def lta(
    *,
    eps: float,
    distance: Distance,
    step_size: float = _LEVEL,
    steps: int = 15,
    momentum: float = 1.0,
    legacy: bool = False,
    seed: int = 0,
    precision: str = "fp32",
) -> GradientAttack:
    """Build the local transformation attack: a new grayscale patch of the image in each step.

    A gray image has no such patch that differs, and takes a random start.

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that is attacked.
        step_size: pixel units of [0, 1].
        steps: number of steps.
        momentum: decay of the running sum of L1-normalized gradients.
        legacy: draw patches as the published code does, see LGT.
        seed: of the patches.
        precision: ``fp32`` or ``bf16``.
    """
    return _lta(eps, distance, step_size, steps, momentum, legacy, True, seed, precision)


@ATTACKS.register("lta_minus", paper=JOINT, title="LTA with one patch for all steps")
def lta_minus(
    *,
    eps: float,
    distance: Distance,
    step_size: float = _LEVEL,
    steps: int = 15,
    momentum: float = 1.0,
    legacy: bool = False,
    seed: int = 0,
    precision: str = "fp32",
) -> GradientAttack:
    """Build LTA-: as :func:`lta`, but the grayscale patch is drawn once."""
    return _lta(eps, distance, step_size, steps, momentum, legacy, False, seed, precision)


@ATTACKS.register("odfa", paper=U_TURN, title="towards the opposite of the image's own feature")
def odfa(
    *,
    eps: float,
    distance: Distance,
    step_size: float = _LEVEL,
    steps: int | None = None,
    seed: int = 0,
    precision: str = "fp32",
) -> GradientAttack:
    """Build the opposite-direction feature attack: sign steps from a random start.

    The published code starts at the clean image, where the gradient on unit features is rounding
    noise.

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that is attacked.
        step_size: pixel units of [0, 1].
        steps: None = ``round(min(eps + 4, 1.25 eps))``, eps in gray levels.
        seed: of the random start.
        precision: ``fp32`` or ``bf16``.
    """
    return sign_attack(
        OppositeDirection(distance),
        eps,
        step_size=step_size,
        steps=iteration_rule(eps, "round") if steps is None else steps,
        start="random",
        seed=seed,
        precision=precision,
    )


@ATTACKS.register("fna", paper=VULNERABILITY, title="from the own identity to the furthest other")
def fna(
    *,
    eps: float,
    distance: Distance,
    step_size: float = _LEVEL,
    steps: int = 15,
    seed: int = 0,
    precision: str = "fp32",
) -> GradientAttack:
    """Build the furthest-negative attack.

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that is attacked.
        step_size: pixel units of [0, 1].
        steps: number of steps.
        seed: of everything random inside the model.
        precision: ``fp32`` or ``bf16``.
    """
    return sign_attack(
        FurthestNegative(distance),
        eps,
        step_size=step_size,
        steps=steps,
        seed=seed,
        precision=precision,
    )
