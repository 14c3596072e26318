"""Bags: on the back, at the hip, in the hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from torchreid_adv.data.virtual.body import Point
from torchreid_adv.data.virtual.patterns import planes, weave
from torchreid_adv.data.virtual.shapes import ellipsoid, limb
from torchreid_adv.data.virtual.solids import Part
from torchreid_adv.data.virtual.view import Seen
from torchreid_adv.data.virtual.wardrobe import MATERIALS, Accessory, shaded


def bags(bag: Accessory, seen: Seen) -> list[Part]:
    """Return the parts of a bag, if there is one; its strap is drawn on the garment."""
    if bag.kind == "backpack":
        body = _box(bag, seen, "shoulders", (0.0, -0.12, -0.118), (0.088, 0.055), 0.122)
        pocket = _box(bag, seen, "shoulders", (0.0, -0.175, -0.165), (0.06, 0.018), 0.05)
        return [body, _darker(pocket, bag)]
    if bag.kind == "messenger":
        return [_box(bag, seen, "pelvis", (0.118, 0.01, 0.0), (0.034, 0.085), 0.062)]
    if bag.kind == "tote":
        return [_box(bag, seen, "pelvis", (0.132, 0.075, -0.01), (0.032, 0.078), 0.085)]
    if bag.kind == "handbag":
        x, y = seen.spot("right_tip")
        low = (x, y + 0.05 * seen.view.scale)
        handle = limb((x, y), low, 0.009 * seen.view.scale, 0.02 * seen.view.scale)
        near = seen.near("right_tip")
        color = planes(shaded(bag.cloth.color, 0.8))
        string = Part(*handle, near + 0.012, seen.view.yaw, MATERIALS["leather"], color)
        return [string, _box(bag, seen, "right_tip", (0.0, -0.085, 0.0), (0.03, 0.072), 0.056)]
    return []


def _box(
    bag: Accessory, seen: Seen, joint: str, offset: Point, half: tuple[float, float], tall: float
) -> Part:
    """Return a rounded box of half-sizes ``half`` (across, deep) and ``tall``."""
    x, y = seen.spot(joint, offset)
    rise = tall * seen.view.scale
    profile = ellipsoid(5.0) * seen.width(*half)
    albedo = weave(bag.cloth, length=2 * tall, radius=half[0])
    near = seen.facing(offset) if joint == "shoulders" else seen.near(joint, offset)
    depth = near + 0.03 * np.sign(near)
    material = MATERIALS[bag.cloth.material]
    return Part(
        (x, y - rise), (x, y + rise), profile, float(depth), seen.view.yaw, material, albedo
    )


def _darker(part: Part, bag: Accessory) -> Part:
    return replace(part, albedo=planes(shaded(bag.cloth.color, 0.78)))
