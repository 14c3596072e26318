"""Bodies, gaits and poses: the joints of a person at a phase of the step.

Lengths are in units of the standing height. x points to the person's left, y up, z forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from torchreid_adv.data.virtual.draws import spread

Point = tuple[float, float, float]
Skeleton = dict[str, Point]


@dataclass(frozen=True)
class Body:
    """Proportions of a person, as factors of an average one."""

    girth: float
    shoulders: float
    hips: float
    belly: float
    legs: float
    head: float


@dataclass(frozen=True)
class Gait:
    """How a person walks: angles in radians at the extreme of a step."""

    stride: float
    knee: float
    arms: float
    elbow: float
    spread: float
    lean: float
    bob: float


@dataclass(frozen=True)
class Moment:
    """The parts of a pose that differ between two images of a person.

    Args:
        phase: phase of the step in radians.
        effort: 0 stands still, 1 walks.
        left_bend: elbow angle in radians that replaces the gait's (a phone, a bag), or 0.
        right_bend: the same for the right arm.
    """

    phase: float
    effort: float = 1.0
    left_bend: float = 0.0
    right_bend: float = 0.0


def draw_body(rng: np.random.Generator) -> tuple[Body, Gait]:
    """Draw a body and a unique gait."""
    slender = rng.random() < 0.5
    body = Body(
        girth=float(np.clip(rng.normal(0.95 if slender else 1.06, 0.13), 0.75, 1.45)),
        shoulders=spread(rng, 0.86, 1.0) if slender else spread(rng, 0.98, 1.16),
        hips=spread(rng, 1.0, 1.16) if slender else spread(rng, 0.9, 1.04),
        belly=spread(rng, 0.8, 1.35),
        legs=spread(rng, 0.95, 1.05),
        head=spread(rng, 0.94, 1.08),
    )
    gait = Gait(
        stride=spread(rng, 0.28, 0.52),
        knee=spread(rng, 0.5, 0.95),
        arms=spread(rng, 0.15, 0.6),
        elbow=spread(rng, 0.08, 0.5),
        spread=spread(rng, 0.03, 0.16),
        lean=spread(rng, -0.03, 0.1),
        bob=spread(rng, 0.004, 0.014),
    )
    return body, gait


def pose(body: Body, gait: Gait, moment: Moment) -> Skeleton:
    """Place the joints, as a function of the person and the moment."""
    hip_y = 0.515 * body.legs
    chest = 0.83 - hip_y
    lean = gait.lean * (0.4 + 0.6 * moment.effort)
    rise = gait.bob * moment.effort * math.cos(2 * moment.phase)
    joints: Skeleton = {"pelvis": (0.0, hip_y + rise, 0.0)}
    for name, up in (("waist", 0.3), ("neck", 1.06), ("shoulders", 0.96), ("head", 1.335)):
        reach = up * chest
        joints[name] = (0.0, hip_y + rise + reach * math.cos(lean), reach * math.sin(lean))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        phase = moment.phase if sign > 0 else moment.phase + math.pi
        _leg(joints, side, sign, phase, body, gait, moment.effort)
        bend = moment.left_bend if sign > 0 else moment.right_bend
        _arm(joints, side, sign, phase, body, gait, moment.effort, bend)
    return _on_ground(joints)


def _leg(
    joints: Skeleton, side: str, sign: float, phase: float, body: Body, gait: Gait, effort: float
) -> None:
    x, hip_y, hip_z = joints["pelvis"]
    thigh = effort * gait.stride * math.sin(phase)
    shank = thigh - 0.06 - effort * gait.knee * max(0.0, math.cos(phase + 0.3)) ** 1.4
    length, out = 0.238 * body.legs, 0.012 + 0.02 * (1.0 - effort)
    hip = (x + sign * 0.052 * body.hips, hip_y - 0.01, hip_z)
    knee = _swing(hip, thigh, length, sign * out * 0.5)
    ankle = _swing(knee, shank, length * 1.02, sign * out * 0.3)
    pitch = 0.55 * shank + 0.1
    toe = (
        ankle[0] + sign * 0.022,
        ankle[1] - 0.022 + 0.085 * math.sin(pitch * 0.8),
        ankle[2] + 0.088 * math.cos(pitch),
    )
    joints.update(
        {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle, f"{side}_toe": toe}
    )


def _arm(
    joints: Skeleton,
    side: str,
    sign: float,
    phase: float,
    body: Body,
    gait: Gait,
    effort: float,
    bend: float,
) -> None:
    _, y, z = joints["shoulders"]
    upper = -gait.arms * effort * math.sin(phase) * (0.3 if bend else 1.0) + 0.03
    lower = upper + (bend or gait.elbow * (0.45 + 0.55 * effort) + 0.25 * max(0.0, upper))
    shoulder = (sign * 0.094 * body.shoulders, y - 0.012, z)
    out = 0.165 * math.sin(gait.spread + 0.05 * body.girth)
    elbow = _swing(shoulder, upper, 0.165, sign * out)
    hand = _swing(elbow, lower, 0.148, -sign * (0.05 if bend else 0.012))
    tip = _swing(hand, lower + 0.15, 0.045, -sign * 0.006)
    joints.update(
        {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow}
        | {f"{side}_hand": hand, f"{side}_tip": tip}
    )


def _swing(origin: Point, angle: float, length: float, sideways: float) -> Point:
    """Hang a segment from ``origin``, turned forward by ``angle``."""
    return (
        origin[0] + sideways,
        origin[1] - length * math.cos(angle),
        origin[2] + length * math.sin(angle),
    )


def _on_ground(joints: Skeleton) -> Skeleton:
    """Lift or lower the person until the lower foot is at y = 0."""
    drop = min(joints["left_toe"][1], joints["right_toe"][1]) - 0.018
    return {name: (x, y - drop, z) for name, (x, y, z) in joints.items()}
