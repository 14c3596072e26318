"""A person as a list of parts: body, clothes and bags, attached to the joints of a pose."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from torchreid_adv.data.virtual.body import Body, Gait, Moment, Point, pose
from torchreid_adv.data.virtual.clothes import (
    CUTS,
    MATERIALS,
    Accessory,
    Cut,
    Outfit,
    Upper,
    shaded,
)
from torchreid_adv.data.virtual.head import head
from torchreid_adv.data.virtual.limbs import arms, legs, over_legs
from torchreid_adv.data.virtual.patterns import evaluate, mix, planes, weave
from torchreid_adv.data.virtual.solids import SAMPLES, Albedo, Part, ellipsoid, limb
from torchreid_adv.data.virtual.view import Seen, View, between


@dataclass(frozen=True)
class Person:
    """A person: the properties shared by all images of this person."""

    body: Body
    gait: Gait
    outfit: Outfit


def figure(person: Person, moment: Moment, view: View) -> list[Part]:
    """Return the parts of a person in painting order, farthest first."""
    body, outfit = person.body, person.outfit
    seen = Seen(view, pose(body, person.gait, moment))
    parts = [
        *legs(body, outfit, seen),
        *trunk(body, outfit, seen),
        *arms(body, outfit, seen),
        *bags(outfit.bag, seen),
        *head(body, outfit, seen),
    ]
    return sorted(parts, key=lambda part: part.depth)


# half-widths and half-depths of a body from the neck (0) to the hips (0.95) and below, in
# standing heights
_ACROSS = (
    (0.0, 0.036), (0.04, 0.062), (0.08, 0.098), (0.14, 0.114), (0.32, 0.112),
    (0.5, 0.102), (0.72, 0.088), (0.95, 0.098), (1.12, 0.100), (2.5, 0.105),
)  # fmt: skip
_DEEP = (
    (0.0, 0.034), (0.07, 0.052), (0.15, 0.068), (0.3, 0.078), (0.5, 0.074),
    (0.72, 0.066), (0.95, 0.080), (1.12, 0.078), (2.5, 0.084),
)  # fmt: skip
# forward shift of the middle line from the spine
_FORWARD = ((0.0, -0.006), (0.3, 0.008), (0.55, 0.004), (0.75, 0.004), (1.0, -0.008), (2.5, 0.0))


def trunk(body: Body, outfit: Outfit, seen: Seen) -> list[Part]:
    """Return the neck and the clothes on the trunk."""
    cut, cloth = CUTS[outfit.upper.kind], outfit.upper.cloth
    neck = limb(
        seen.spot("head"), seen.spot("neck"), 0.026 * seen.view.scale, 0.034 * seen.view.scale
    )
    parts = [
        Part(*neck, -0.006, seen.view.yaw, MATERIALS["skin"], planes(outfit.skin), dim=0.82),
        _garment(body, outfit, cut, seen),
    ]
    if cut.collar:
        parts.append(
            _ring(seen, 0.043, cut.collar, shaded(cloth.color, 0.86), cloth.material, 0.006)
        )
    if cut.hood:
        parts.append(_hood(outfit.upper, seen))
    if outfit.scarf.kind != "none":
        scarf = outfit.scarf.cloth
        parts.append(_ring(seen, 0.062, 0.036, scarf.color, scarf.material, 0.02))
    return parts


def _garment(body: Body, outfit: Outfit, cut: Cut, seen: Seen) -> Part:
    start, pelvis = seen.spot("neck", (0.0, -0.006, 0.0)), seen.spot("pelvis")
    neck, hips = seen.joints["neck"][1], seen.joints["pelvis"][1]
    reach = (neck - cut.hem) / (neck - hips)
    end = between(start, pelvis, reach)
    across, deep, forward = _shape(body, outfit.upper.kind, round(reach, 2))
    profile, shift = seen.width(across, deep), seen.forward(forward)
    if reach > 1.25:
        profile, middle = over_legs(seen, profile, start, end, body.girth)
        shift = shift + middle
    albedo = _decorated(outfit, cut, length=reach * (neck - hips))
    material, turn = MATERIALS[outfit.upper.cloth.material], seen.view.yaw
    return Part(start, end, profile, 0.0, turn, material, albedo, shift=shift)


@functools.lru_cache(maxsize=1024)
def _shape(body: Body, kind: str, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return half-widths, half-depths and forward shifts down a garment, in standing heights.

    ``reach`` is its end; 1 is at the hips.
    """
    cut, places = CUTS[kind], np.linspace(0.0, 1.0, SAMPLES) * reach
    across = _read(_ACROSS, places)
    deep = _read(_DEEP, places)
    upper = np.interp(places, (0.0, 0.4, 0.8), (1.0, 1.0, 0.0))
    across = across * (upper * body.shoulders + (1 - upper) * body.hips)
    girth = body.girth ** np.interp(places, (0.0, 0.15, 0.4), (0.0, 0.4, 0.8))
    belly = 1 + (body.belly - 1) * np.exp(-(((places - 0.72) / 0.2) ** 2))
    if cut.fit > 1.05:  # loose cloth hangs from chest to hips without a waist
        hang = np.maximum(across, 0.098 * min(1.0, body.shoulders))
        across = np.where((places > 0.3) & (places < 1.0), hang, across)
    ease = np.interp(places, (0.0, 0.1, 0.3), (1.0, 0.5 + 0.5 * cut.fit, cut.fit))
    ease = girth * ease * np.interp(places, (0.0, 0.75, max(reach, 0.8)), (1.0, 1.0, cut.flare))
    forward = _read(_FORWARD, places) + 0.02 * (belly - 1)
    return across * ease, deep * belly * ease, forward


def _read(table: tuple[tuple[float, float], ...], places: np.ndarray) -> np.ndarray:
    keys, values = zip(*table, strict=True)
    return np.interp(places, keys, values)


def _decorated(outfit: Outfit, cut: Cut, *, length: float) -> np.ndarray | Albedo:
    """Return the garment's albedo with opening, fastening, hem and bag straps."""
    upper = outfit.upper
    base = weave(upper.cloth, length=length, radius=0.1)
    inner = weave(upper.inner, length=length, radius=0.1)
    edge, strap = planes(shaded(upper.cloth.color, 0.7)), planes(outfit.bag.cloth.color)

    def albedo(angle: np.ndarray, place: np.ndarray) -> np.ndarray:
        side = np.abs(angle)
        color = evaluate(base, angle, place)
        seam = place * length > length - 0.012
        if cut.opening:
            slope = 1.3 * (cut.opening[1] - cut.opening[0])
            half = np.minimum(place, 1 / 1.3) * slope + cut.opening[0]
            color = mix(color, edge, seam | (side < half + 0.1))
            color = mix(color, evaluate(inner, angle, place), side < half)
            if upper.kind == "blazer":
                color = mix(color, planes(upper.inner.second), (side < 0.1) & (side < half))
        else:
            color = mix(color, edge, seam | (side < (0.055 if cut.collar > 0.013 else 0.0)))
        if upper.kind == "vest":
            over_shoulders = (np.abs(side - 0.75) < 0.12) & (place < 0.6)
            bands = (np.abs(place - 0.62) < 0.06) | over_shoulders
            color = mix(color, planes(upper.cloth.second), bands)
        if outfit.bag.kind == "backpack":
            color = mix(color, strap, (np.abs(side - 0.62) < 0.13) & (place * length < 0.2))
        elif outfit.bag.kind in ("messenger", "tote"):
            color = mix(color, strap, _strap(outfit.bag.kind, angle, place * length))
        return color

    return albedo


def _strap(kind: str, turn: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the mask of a bag's strap: over the opposite shoulder, or the bag's side."""
    if kind == "tote":
        return (np.abs(np.abs(turn - 1.57) - 0.5) < 0.1) & (down < 0.25)
    line = -0.75 + 2.3 * down / 0.33
    front = np.abs(turn - line) < 0.13
    apart = np.pi - turn - line
    behind = np.abs(apart - 2 * np.pi * np.rint(apart / (2 * np.pi))) < 0.13
    return (front | behind) & (down < 0.36)


def _ring(
    seen: Seen,
    radius: float,
    height: float,
    color: tuple[float, float, float],
    material: str,
    step: float,
) -> Part:
    """Return a collar or scarf: a band around the neck."""
    x, y = seen.spot("neck", (0.0, -0.002, 0.004))
    half, tall = radius * seen.view.scale, height * seen.view.scale
    profile = ellipsoid(3.0) * half
    start, end = (x, y - tall * 0.75), (x, y + tall * 0.75)
    return Part(start, end, profile, step, seen.view.yaw, MATERIALS[material], planes(color))


def _hood(upper: Upper, seen: Seen) -> Part:
    x, y = seen.spot("neck", (0.0, -0.012, -0.052))
    half, tall = seen.width(0.068, 0.04), 0.045 * seen.view.scale
    depth = seen.facing((0.0, 0.0, -0.052)) * 0.5
    color = planes(shaded(upper.sleeve.color, 0.92))
    material = MATERIALS[upper.cloth.material]
    start, end = (x, y - tall), (x, y + tall)
    return Part(start, end, ellipsoid(2.6) * half, depth + 0.012, seen.view.yaw, material, color)


def bags(bag: Accessory, seen: Seen) -> list[Part]:
    """Return the parts of a bag, if any; its strap is drawn on the garment."""
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
