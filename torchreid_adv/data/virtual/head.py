"""Heads: face, hair, hats."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from torchreid_adv.data.virtual.body import Body
from torchreid_adv.data.virtual.clothes import MATERIALS, Outfit, shaded
from torchreid_adv.data.virtual.patterns import mix, planes, weave
from torchreid_adv.data.virtual.solids import SAMPLES, Albedo, Part, curve, ellipsoid, limb
from torchreid_adv.data.virtual.view import Seen


@dataclass(frozen=True)
class Hairdo:
    """The extent of hair: positions from the crown (0) to the chin (1), and its thickness.

    Args:
        front: hairline over the forehead.
        back: hairline in the neck.
        volume: added width at the crown, as a factor.
        tail: length of the hair that hangs behind, in standing heights; 0 for none.
        width: half-width of that hair.
        bun: radius of a bun, or 0.
    """

    front: float
    back: float
    volume: float = 0.0
    tail: float = 0.0
    width: float = 0.0
    bun: float = 0.0


HAIRDOS: dict[str, Hairdo] = {
    "bald": Hairdo(-0.1, -0.1),
    "receding": Hairdo(0.12, 0.66),
    "buzz": Hairdo(0.27, 0.66),
    "short": Hairdo(0.31, 0.74, 0.07),
    "quiff": Hairdo(0.26, 0.72, 0.16),
    "afro": Hairdo(0.33, 0.8, 0.42),
    "bob": Hairdo(0.33, 1.0, 0.13, tail=0.085, width=0.066),
    "long": Hairdo(0.32, 1.0, 0.1, tail=0.2, width=0.064),
    "ponytail": Hairdo(0.29, 0.8, 0.05, tail=0.15, width=0.024),
    "bun": Hairdo(0.29, 0.8, 0.05, bun=0.034),
}

_FACE = curve(
    (
        (0, 0.3),
        (0.05, 0.62),
        (0.12, 0.82),
        (0.25, 0.97),
        (0.42, 1),
        (0.7, 0.91),
        (0.88, 0.7),
        (1, 0.4),
    )
)

_DOME = np.sqrt(1 - (1 - np.linspace(0.04, 1, SAMPLES)) ** 2.4)


def head(body: Body, outfit: Outfit, seen: Seen) -> list[Part]:
    """Return the head with hair and hat."""
    half = 0.074 * body.head
    start = seen.spot("head", (0.0, half, 0.006))
    end = seen.spot("head", (0.0, -half, 0.012))
    hairdo = HAIRDOS[outfit.hair.kind]
    if outfit.hat.kind != "none":  # a hat presses the hair flat
        hairdo = replace(hairdo, volume=0.0, front=min(hairdo.front, 0.25))
    swell = 1.0 + hairdo.volume * np.linspace(1.0, -0.6, len(_FACE)).clip(0)
    profile = _FACE * seen.width(0.056 * body.head, 0.067 * body.head) * swell
    turn, material = seen.view.yaw, MATERIALS["skin"]
    if hairdo.volume > 0.1:
        start = seen.spot("head", (0.0, half * (1 + 0.5 * hairdo.volume), 0.0))
    parts = [Part(start, end, profile, 0.03, turn, material, _face(outfit, hairdo))]
    return [*parts, *_hanging(outfit, hairdo, seen), *_hat(body, outfit, seen)]


def _face(outfit: Outfit, hairdo: Hairdo) -> Albedo:
    skin, hair = planes(outfit.skin), planes(outfit.hair.cloth.color)
    eyes, lips = skin * 0.5, skin * planes((0.84, 0.6, 0.6))

    def albedo(angle: np.ndarray, place: np.ndarray) -> np.ndarray:
        side = np.abs(angle)
        color = mix(skin, eyes, (np.abs(side - 0.42) < 0.19) & (np.abs(place - 0.5) < 0.045))
        color = mix(color, lips, (side < 0.32) & (np.abs(place - 0.8) < 0.03))
        if outfit.beard:
            color = mix(color, 0.35 * skin + 0.65 * hair, (place > 0.7) & (side < 1.5))
        toward_back = np.clip((side - 0.8) / 0.7, 0.0, 1.0)
        line = hairdo.front + (hairdo.back - hairdo.front) * toward_back**1.5
        return mix(color, hair, place < line)

    return albedo


def _hanging(outfit: Outfit, hairdo: Hairdo, seen: Seen) -> list[Part]:
    color, turn, scale = planes(outfit.hair.cloth.color), seen.view.yaw, seen.view.scale
    if hairdo.bun:
        x, y = seen.spot("head", (0.0, 0.035, -0.066))
        radius, depth = hairdo.bun * scale, seen.facing((0.0, 0.0, -0.066)) + 0.04
        profile = ellipsoid() * radius
        return [
            Part((x, y - radius), (x, y + radius), profile, depth, turn, MATERIALS["hair"], color)
        ]
    if not hairdo.tail:
        return []
    top = (0.0, 0.03, -0.03) if hairdo.width > 0.05 else (0.0, 0.025, -0.062)
    low = (0.0, top[1] - 0.03 - hairdo.tail, top[2] - 0.022)
    first, last = (
        float(seen.width(hairdo.width, 0.035)),
        float(seen.width(hairdo.width * 0.8, 0.022)),
    )
    strand = limb(seen.spot("head", top), seen.spot("head", low), first, last)
    near = seen.facing(top)
    depth = near + (0.04 if near > 0 else -0.02)
    return [Part(*strand, depth, turn, MATERIALS["hair"], color)]


def _hat(body: Body, outfit: Outfit, seen: Seen) -> list[Part]:
    hat, scale, turn = outfit.hat, seen.view.scale, seen.view.yaw
    if hat.kind == "none":
        return []
    thick = 1.22 if hat.kind == "helmet" else 1.1
    low = 0.004 if hat.kind == "beanie" else 0.014
    start = seen.spot("head", (0.0, 0.082 * body.head * (1.06 if thick > 1.2 else 1.0), 0.0))
    end = seen.spot("head", (0.0, low, 0.0))
    crown = _DOME * seen.width(0.054 * body.head, 0.065 * body.head) * thick
    material = MATERIALS[hat.cloth.material]
    albedo = weave(hat.cloth, length=0.08, radius=0.055)
    parts = [Part(start, end, crown, 0.045, turn, material, albedo)]
    if hat.kind in ("cap", "helmet", "sun_hat"):
        wide = hat.kind == "sun_hat"
        forward = 0.0 if wide else 0.075
        x, y = seen.spot("head", (0.0, low + 0.004, forward))
        half = float(seen.width(0.105 if wide else 0.05, 0.105 if wide else 0.045))
        profile = ellipsoid(3.0) * (0.012 * scale)
        depth = 0.05 if wide else seen.facing((0.0, 0.0, forward)) * 0.5 + 0.048
        color = planes(
            shaded(hat.cloth.second if hat.cloth.pattern != "plain" else hat.cloth.color, 0.82)
        )
        parts.append(Part((x - half, y), (x + half, y), profile, depth, turn, material, color))
    return parts
