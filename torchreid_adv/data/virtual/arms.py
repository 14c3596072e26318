"""Arms, sleeves and hands."""

from __future__ import annotations

import numpy as np

from torchreid_adv.data.virtual.body import Body
from torchreid_adv.data.virtual.patterns import planes, weave
from torchreid_adv.data.virtual.shapes import limb
from torchreid_adv.data.virtual.solids import Part
from torchreid_adv.data.virtual.view import Seen, Spot, between
from torchreid_adv.data.virtual.wardrobe import CUTS, MATERIALS, Outfit

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
