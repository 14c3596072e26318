"""Clothes: cloths, cuts of garments, and the outfit of a person."""

from __future__ import annotations

from dataclasses import dataclass

from torchreid_adv.data.virtual.solids import Material

RGB = tuple[float, float, float]

MATERIALS: dict[str, Material] = {
    m.name: m
    for m in (
        Material("skin", gloss=0.06),
        Material("hair", gloss=0.10),
        Material("cotton", wrinkles=0.09),
        Material("denim", wrinkles=0.12),
        Material("wool", wrinkles=0.07),
        Material("nylon", gloss=0.14, wrinkles=0.09),
        Material("down", gloss=0.10, wrinkles=0.13),
        Material("leather", gloss=0.22, wrinkles=0.08),
        Material("rubber", gloss=0.05),
    )
}


@dataclass(frozen=True)
class Cloth:
    """A piece of cloth.

    Args:
        material: key of ``MATERIALS``.
        color: main color, RGB in [0, 1].
        pattern: key of ``patterns.PATTERNS``.
        second: color of the pattern.
        scale: size of the pattern, in hundredths of the standing height.
    """

    material: str
    color: RGB
    pattern: str = "plain"
    second: RGB = (0.5, 0.5, 0.5)
    scale: float = 6.0


@dataclass(frozen=True)
class Cut:
    """Shape of an upper garment.

    Args:
        hem: height of its lower edge, in standing heights.
        fit: width as a factor of the body's.
        sleeves: part of the arm that is covered, 0 to 1.
        material: its usual material.
        flare: widening toward the hem, as a factor.
        collar: height of the collar, in standing heights.
        hood: whether there is a hood on the back.
        opening: half-width of the front opening in radians at the neck and at the hem, or None.
    """

    hem: float
    fit: float
    sleeves: float
    material: str = "cotton"
    flare: float = 1.0
    collar: float = 0.012
    hood: bool = False
    opening: tuple[float, float] | None = None


CUTS: dict[str, Cut] = {
    "t_shirt": Cut(0.485, 1.04, 0.36),
    "tank_top": Cut(0.49, 0.98, 0.0, collar=0.0),
    "shirt": Cut(0.475, 1.06, 1.0, collar=0.02),
    "short_shirt": Cut(0.475, 1.07, 0.4, collar=0.02),
    "sweater": Cut(0.475, 1.12, 1.0, "wool", collar=0.018),
    "hoodie": Cut(0.465, 1.16, 1.0, hood=True),
    "open_hoodie": Cut(0.465, 1.16, 1.0, hood=True, opening=(0.35, 0.5)),
    "jacket": Cut(0.475, 1.15, 1.0, "nylon", collar=0.024),
    "open_jacket": Cut(0.47, 1.17, 1.0, "nylon", collar=0.024, opening=(0.45, 0.55)),
    "leather_jacket": Cut(0.49, 1.12, 1.0, "leather", collar=0.026, opening=(0.4, 0.3)),
    "blazer": Cut(0.445, 1.12, 1.0, "wool", collar=0.018, opening=(0.55, 0.06)),
    "down_jacket": Cut(0.455, 1.30, 1.0, "down", collar=0.034, hood=True),
    "coat": Cut(0.30, 1.18, 1.0, "wool", flare=1.12, collar=0.028),
    "open_coat": Cut(0.29, 1.18, 1.0, "wool", flare=1.16, collar=0.028, opening=(0.35, 0.6)),
    "parka": Cut(0.37, 1.26, 1.0, "nylon", flare=1.04, collar=0.03, hood=True),
    "dress": Cut(0.305, 1.02, 0.28, flare=1.42, collar=0.0),
    "summer_dress": Cut(0.34, 1.0, 0.0, flare=1.5, collar=0.0),
    "jersey": Cut(0.465, 1.12, 0.42, "nylon"),
    "track_top": Cut(0.475, 1.1, 1.0, "nylon", collar=0.026),
    "vest": Cut(0.48, 1.14, 0.0, "nylon", collar=0.0),
}


@dataclass(frozen=True)
class Upper:
    """An upper garment; ``inner`` is visible in its opening and, under a vest, on the arms."""

    kind: str
    cloth: Cloth
    inner: Cloth
    sleeve: Cloth


@dataclass(frozen=True)
class Lower:
    """A lower garment.

    Args:
        kind: ``trousers``, ``shorts`` or ``skirt``.
        cloth: its cloth.
        reach: part of the leg that is covered, 0 to 1.
        fit: width as a factor of the leg's.
        stockings: cloth on the rest of the leg, or None for skin.
    """

    kind: str
    cloth: Cloth
    reach: float
    fit: float
    stockings: Cloth | None = None


@dataclass(frozen=True)
class Accessory:
    """A bag, a hat or shoes: ``kind`` is ``none`` if there is none."""

    kind: str
    cloth: Cloth


@dataclass(frozen=True)
class Outfit:
    """All visible properties of a person except the shape."""

    skin: RGB
    hair: Accessory
    beard: bool
    upper: Upper
    lower: Lower
    shoes: Accessory
    bag: Accessory
    hat: Accessory
    scarf: Accessory


def shaded(color: RGB, factor: float) -> RGB:
    """Return a darker (below 1) or lighter color."""
    red, green, blue = (min(1.0, channel * factor) for channel in color)
    return red, green, blue
