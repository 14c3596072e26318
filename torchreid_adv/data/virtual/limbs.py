"""Arms and legs, with sleeves, hands, trousers, skirts and shoes."""

from __future__ import annotations

import numpy as np

from torchreid_adv.data.virtual.body import Body
from torchreid_adv.data.virtual.clothes import CUTS, MATERIALS, Cloth, Lower, Outfit
from torchreid_adv.data.virtual.patterns import planes, weave
from torchreid_adv.data.virtual.solids import Part, curve, limb
from torchreid_adv.data.virtual.view import Seen, Spot, between

_UPPER = 0.53  # share of the covered arm that is upper arm


def arms(body: Body, outfit: Outfit, seen: Seen) -> list[Part]:
    """Return both arms."""
    return [part for side in ("left", "right") for part in _arm(side, body, outfit, seen)]


def _arm(side: str, body: Body, outfit: Outfit, seen: Seen) -> list[Part]:
    shoulder, elbow = seen.spot(f"{side}_shoulder"), seen.spot(f"{side}_elbow")
    hand, tip = seen.spot(f"{side}_hand"), seen.spot(f"{side}_tip")
    cut, cloth = CUTS[outfit.upper.kind], outfit.upper.sleeve
    scale = seen.view.scale * body.girth**0.7
    near = 0.5 * (seen.near(f"{side}_elbow") + seen.near(f"{side}_shoulder"))
    depth = near + 0.02
    dim = 1.0 + float(np.clip(0.8 * near, -0.14, 0.05))
    skin, turn = planes(outfit.skin), seen.view.yaw

    def bare(ends: tuple[Spot, Spot, np.ndarray], step: float) -> Part:
        return Part(*ends, depth + step, turn, MATERIALS["skin"], skin, dim=dim)

    def clad(ends: tuple[Spot, Spot, np.ndarray], step: float) -> Part:
        albedo = weave(cloth, length=0.17, radius=0.035)
        contact = 0.3 if step < 0.004 else 0.18
        return Part(
            *ends, depth + step, turn, MATERIALS[cloth.material], albedo, dim=dim, contact=contact
        )

    fit = 0.35 + 0.65 * cut.fit
    sleeves = 1.0 if outfit.upper.kind == "vest" else cut.sleeves
    parts = [bare(limb(hand, tip, 0.0185 * scale, 0.014 * scale), 0.0)]
    if sleeves < 1.0:
        parts.append(bare(limb(elbow, hand, 0.026 * scale, 0.017 * scale, bulge=0.15), 0.001))
        parts.append(bare(limb(shoulder, elbow, 0.031 * scale, 0.026 * scale), 0.002))
    if sleeves >= 1.0:
        fore = limb(elbow, hand, 0.03 * fit * scale, 0.023 * fit * scale, open_end=True)
        whole = limb(shoulder, elbow, 0.036 * fit * scale, 0.03 * fit * scale)
        parts += [clad(fore, 0.003), clad(whole, 0.004)]
    elif sleeves > 0:
        end = between(shoulder, elbow, sleeves / _UPPER)
        tube = limb(shoulder, end, 0.037 * fit * scale, 0.036 * fit * scale, open_end=True)
        parts.append(clad(tube, 0.004))
    return parts


# half-widths and half-depths of pelvis and skirt, from the waist down, in standing heights
_ACROSS = curve(((0, 0.084), (0.4, 0.096), (0.7, 0.1), (0.9, 0.085), (1, 0.04)))
_DEEP = curve(((0, 0.064), (0.5, 0.08), (0.8, 0.074), (1, 0.035)))
_HANGING = (
    curve(((0, 0.084), (0.35, 0.1), (1, 0.1))),
    curve(((0, 0.066), (0.35, 0.084), (1, 0.088))),
)
_THIGH = 0.55  # share of the covered leg that is thigh


def legs(body: Body, outfit: Outfit, seen: Seen) -> list[Part]:
    """Return both legs with shoes, and the pelvis or skirt over them unless a coat hides it."""
    parts = [part for side in ("left", "right") for part in _leg(side, body, outfit, seen)]
    skirt = outfit.lower.kind == "skirt"
    if CUTS[outfit.upper.kind].hem > 0.4 or (skirt and outfit.lower.reach > 0.5):
        parts.append((_skirt if skirt else _pelvis)(body, outfit.lower, seen))
    return parts


def _leg(side: str, body: Body, outfit: Outfit, seen: Seen) -> list[Part]:
    hip, knee = seen.spot(f"{side}_hip"), seen.spot(f"{side}_knee")
    ankle, lower = seen.spot(f"{side}_ankle"), outfit.lower
    scale = seen.view.scale * body.girth**0.7
    near = 0.5 * (seen.near(f"{side}_knee") + seen.near(f"{side}_ankle"))
    depth, dim = 0.1 * near - 0.05, 1.0 + float(np.clip(0.9 * near, -0.16, 0.05))
    bare = lower.stockings or Cloth("skin", outfit.skin)
    turn = seen.view.yaw

    def piece(ends: tuple[Spot, Spot, np.ndarray], cloth: Cloth, step: float) -> Part:
        albedo = weave(cloth, length=0.26, radius=0.05)
        return Part(
            *ends, depth + step, turn, MATERIALS[cloth.material], albedo, dim=dim, contact=0.0
        )

    thigh = limb(hip, knee, 0.058 * scale, 0.043 * scale)
    calf = limb(knee, ankle, 0.041 * scale, 0.026 * scale, bulge=0.25)
    parts = _shoe(side, outfit, seen, depth, dim)
    cloth, fit, covered = lower.cloth, lower.fit, lower.reach
    if lower.kind == "skirt" or covered < 0.99:
        parts.append(piece(calf, bare, 0.001))
    if lower.kind == "skirt" or covered < _THIGH:
        parts.append(piece(thigh, bare, 0.002))
    if lower.kind == "skirt":
        return parts
    if covered > _THIGH:
        end = between(knee, ankle, min(1.04, (covered - _THIGH) / (1 - _THIGH)))
        last = (0.043 - 0.014 * (covered - _THIGH) / (1 - _THIGH)) * fit**1.6 * scale
        tube = limb(knee, end, 0.044 * fit * scale, last, bulge=0.1, open_end=True)
        parts.append(piece(tube, cloth, 0.003))
        parts.append(piece(limb(hip, knee, 0.06 * fit * scale, 0.044 * fit * scale), cloth, 0.004))
    else:
        end = between(hip, knee, covered / _THIGH)
        tube = limb(hip, end, 0.06 * fit * scale, 0.058 * fit * scale, open_end=True)
        parts.append(piece(tube, cloth, 0.004))
    return parts


def _shoe(side: str, outfit: Outfit, seen: Seen, depth: float, dim: float) -> list[Part]:
    shoes, scale = outfit.shoes, seen.view.scale
    ankle, toe = seen.spot(f"{side}_ankle", (0.0, -0.012, -0.012)), seen.spot(f"{side}_toe")
    material, turn = MATERIALS[shoes.cloth.material], seen.view.yaw
    sole = limb(
        (ankle[0], ankle[1] + 0.014 * scale),
        (toe[0], toe[1] + 0.006 * scale),
        0.024 * scale,
        0.02 * scale,
    )
    upper = limb(ankle, toe, 0.026 * scale, 0.019 * scale)
    sole_color, upper_color = planes(shoes.cloth.second), planes(shoes.cloth.color)
    parts = [
        Part(*sole, depth - 0.002, turn, MATERIALS["rubber"], sole_color, dim=dim, contact=0.0),
        Part(*upper, depth - 0.001, turn, material, upper_color, dim=dim, contact=0.0),
    ]
    if shoes.kind == "boots":
        knee = seen.spot(f"{side}_knee")
        shaft = limb(between(ankle, knee, 0.55), ankle, 0.041 * scale, 0.03 * scale)
        parts.append(
            Part(*shaft, depth + 0.0035, turn, material, upper_color, dim=dim, contact=0.0)
        )
    return parts


def _pelvis(body: Body, lower: Lower, seen: Seen) -> Part:
    start, end = seen.spot("pelvis", (0.0, 0.12, 0.0)), seen.spot("pelvis", (0.0, -0.065, 0.0))
    profile = seen.width(_ACROSS * body.hips, _DEEP) * body.girth**0.6 * (0.55 + 0.45 * lower.fit)
    albedo = weave(lower.cloth, length=0.19, radius=0.09)
    material = MATERIALS[lower.cloth.material]
    return Part(start, end, profile, -0.02, seen.view.yaw, material, albedo, contact=0.12)


def _skirt(body: Body, lower: Lower, seen: Seen) -> Part:
    start, end = seen.spot("pelvis", (0.0, 0.12, 0.0)), seen.spot("pelvis")
    drop = 0.06 + 0.47 * lower.reach
    end = between(start, end, (0.12 + drop) / 0.12)
    size = body.girth**0.6 * body.hips
    flare = np.maximum(1.0, np.linspace(0.8, lower.fit, len(_HANGING[0]))) * size
    profile = seen.width(_HANGING[0] * flare, _HANGING[1] * flare)
    profile, shift = over_legs(seen, profile, start, end, body.girth)
    albedo = weave(lower.cloth, length=0.12 + drop, radius=0.1)
    material = MATERIALS[lower.cloth.material]
    return Part(start, end, profile, -0.02, seen.view.yaw, material, albedo, shift=shift)


def over_legs(
    seen: Seen,
    profile: np.ndarray,
    start: tuple[float, float],
    end: tuple[float, float],
    girth: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Widen a hanging profile so that it covers the legs, and center it over them.

    Returns:
        the profile and its sideways shift, both in pixels.
    """
    knees = seen.spot("left_knee")[0], seen.spot("right_knee")[0]
    hip, knee = seen.spot("pelvis")[1], seen.spot("left_knee")[1]
    rows = np.linspace(start[1], end[1], len(profile))
    share = np.clip((rows - hip) / max(knee - hip, 1.0), 0.0, 1.3)
    middle = (0.5 * (knees[0] + knees[1]) - seen.spot("pelvis")[0]) * share
    legs_width = 0.5 * abs(knees[0] - knees[1]) * share + 0.05 * girth * seen.view.scale
    return np.where(share > 0, np.maximum(profile, legs_width), profile), middle
