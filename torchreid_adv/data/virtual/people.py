"""The people: outfits drawn from a style's wardrobe, some of them alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from torchreid_adv.data.virtual.body import draw_body
from torchreid_adv.data.virtual.clothes import CUTS, RGB, Accessory, Cloth, Lower, Outfit, Upper
from torchreid_adv.data.virtual.colors import COLORS, HAIR, SKIN
from torchreid_adv.data.virtual.draws import pick, spread, stream
from torchreid_adv.data.virtual.figure import Person
from torchreid_adv.data.virtual.style import Style, Wardrobe, Weights

# people in groups of this size may resemble the first of the group
FAMILY = 4

_ABSENT = Cloth("cotton", (0.0, 0.0, 0.0))
_DENIM: Weights = {"denim": 4, "dark_denim": 4, "light_denim": 2, "black": 1.5, "charcoal": 1}

_SAFETY: Weights = {"safety_yellow": 3, "safety_orange": 3, "lime": 1, "red": 0.5, "sky": 0.5}

# kind, share of the leg, fit, material
LOWERS: dict[str, tuple[str, float, float, str]] = {
    "jeans": ("trousers", 1.0, 1.06, "denim"),
    "slim_trousers": ("trousers", 0.98, 0.98, "cotton"),
    "trousers": ("trousers", 1.0, 1.14, "cotton"),
    "wide_trousers": ("trousers", 1.0, 1.32, "cotton"),
    "suit_trousers": ("trousers", 1.0, 1.15, "wool"),
    "track_pants": ("trousers", 1.0, 1.18, "nylon"),
    "leggings": ("trousers", 0.95, 0.94, "nylon"),
    "cropped": ("trousers", 0.82, 1.12, "cotton"),
    "shorts": ("trousers", 0.46, 1.22, "cotton"),
    "jean_shorts": ("trousers", 0.38, 1.14, "denim"),
    "long_shorts": ("trousers", 0.66, 1.25, "cotton"),
    "running_shorts": ("trousers", 0.3, 1.25, "nylon"),
    "mini_skirt": ("skirt", 0.34, 1.25, "cotton"),
    "skirt": ("skirt", 0.56, 1.2, "cotton"),
    "long_skirt": ("skirt", 0.92, 1.3, "cotton"),
}


def draw_person(style: Style, seed: int, number: int, change: int = 0) -> Person:
    """Draw a person by number; others of its group of ``FAMILY`` may dress alike.

    Two people who resemble each other share the cut and main color of the upper garment; pattern,
    legs, shoes, bag, hair and body are drawn separately.

    Args:
        style: style with the wardrobe.
        seed: the user's seed.
        number: number of the person.
        change: 0, or the number of another outfit: body, gait, skin, hair and beard stay; clothes
            and bags change.
    """
    rng = stream(style.name, seed, "person", number)
    body, gait = draw_body(rng)
    outfit = _outfit(style.wardrobe, rng)
    if change:
        rng = stream(style.name, seed, "change", number, change)
        other = _outfit(style.wardrobe, rng)
        outfit = replace(other, skin=outfit.skin, hair=outfit.hair, beard=outfit.beard)
    first = number - number % FAMILY
    if number != first and rng.random() < style.alike:
        model = draw_person(style, seed, first, change).outfit
        outfit = _alike(outfit, model, style.wardrobe, rng)
    return Person(body, gait, outfit)


def _outfit(wardrobe: Wardrobe, rng: np.random.Generator) -> Outfit:
    long_haired = rng.random() < 0.5
    kinds: Weights = (
        {"bob": 2, "long": 3, "ponytail": 2, "bun": 1, "afro": 0.6, "short": 0.5}
        if long_haired
        else {"short": 4, "buzz": 2, "quiff": 2, "receding": 1, "bald": 0.8, "afro": 0.6}
    )
    color = HAIR[pick(rng, {name: weight for name, (_, weight) in HAIR.items()})][0]
    upper = _upper(pick(rng, wardrobe.uppers), None, wardrobe, rng)
    hat = pick(rng, wardrobe.hats)
    return Outfit(
        skin=_vary(SKIN[rng.integers(len(SKIN))], rng, 0.02),
        hair=Accessory(pick(rng, kinds), Cloth("hair", _vary(color, rng, 0.03))),
        beard=not long_haired and rng.random() < 0.3,
        upper=upper,
        lower=_lower(pick(rng, wardrobe.lowers), upper, wardrobe, rng),
        shoes=_shoes(pick(rng, wardrobe.shoes), rng),
        bag=_bag(pick(rng, wardrobe.bags), wardrobe, rng),
        hat=Accessory(hat, _hat_cloth(hat, wardrobe, rng)),
        scarf=_scarf(rng.random() < wardrobe.scarves, wardrobe, rng),
    )


def _alike(outfit: Outfit, model: Outfit, wardrobe: Wardrobe, rng: np.random.Generator) -> Outfit:
    """Return ``outfit`` with an upper garment like the model's, and sometimes the legs."""
    upper = _upper(model.upper.kind, model.upper.cloth.color, wardrobe, rng)
    if rng.random() < 0.5:
        cloth = replace(model.upper.cloth, second=upper.cloth.second)
        upper = replace(upper, cloth=cloth)
    lower = model.lower if rng.random() < 0.3 else outfit.lower
    return replace(outfit, upper=upper, lower=lower)


def _upper(kind: str, color: RGB | None, wardrobe: Wardrobe, rng: np.random.Generator) -> Upper:
    cut = CUTS[kind]
    drawn_color = _vary(
        COLORS[pick(rng, _SAFETY if kind == "vest" else wardrobe.upper_colors)], rng, 0.035
    )
    main = drawn_color if color is None else _vary(color, rng, 0.015)
    plain = cut.material in ("leather",) or kind in ("blazer", "vest")
    pattern = "plain" if plain else pick(rng, wardrobe.patterns)
    if cut.material == "down":
        pattern = "quilt"
    if cut.opening and pattern in ("print", "round_print"):
        pattern = "plain"
    second = _contrasting(main, wardrobe, rng) if pattern != "quilt" else _scaled(main, 0.7)
    if kind == "vest":
        second = (0.85, 0.86, 0.84)
    cloth = Cloth(cut.material, main, pattern, second, spread(rng, 4.5, 9.0))
    inner_color = COLORS[pick(rng, {"white": 3, "sky": 1.5, "gray": 1, "black": 1.5, "red": 0.5})]
    tie = COLORS[pick(rng, {"red": 1, "navy": 1, "burgundy": 1, "green": 0.5, "white": 2})]
    inner = Cloth("cotton", _vary(inner_color, rng, 0.03), second=tie)
    sleeve = _sleeve(kind, cloth, inner, rng)
    return Upper(kind, cloth, inner, sleeve)


def _sleeve(kind: str, cloth: Cloth, inner: Cloth, rng: np.random.Generator) -> Cloth:
    if kind == "vest":
        return inner
    all_over = ("stripes", "thin_stripes", "checks", "camouflage", "dots", "quilt", "vertical")
    if cloth.pattern in all_over:
        return cloth
    other = cloth.pattern in ("print", "two_tone", "sides", "band") and rng.random() < 0.4
    return Cloth(cloth.material, cloth.second if other else cloth.color)


def _lower(kind: str, upper: Upper, wardrobe: Wardrobe, rng: np.random.Generator) -> Lower:
    if CUTS[upper.kind].flare > 1.3:  # a dress has no other lower garment
        stockings = Cloth("nylon", COLORS["black"]) if rng.random() < 0.3 else None
        return Lower("skirt", upper.cloth, 0.3, 1.05, stockings)
    shape, reach, fit, material = LOWERS[kind]
    colors = _DENIM if material == "denim" else wardrobe.lower_colors
    color = _vary(COLORS[pick(rng, colors)], rng, 0.03)
    patterns: Weights = {"plain": 9}
    if shape == "skirt":
        patterns |= {"checks": 2, "dots": 1.5, "stripes": 1, "vertical": 1}
    elif material == "nylon":
        patterns |= {"sides": 7}
    elif material == "cotton":
        patterns |= {"camouflage": 0.5, "sides": 0.5, "checks": 0.4}
    pattern = pick(rng, patterns)
    second = _contrasting(color, wardrobe, rng)
    cloth = Cloth(material, color, pattern, second, spread(rng, 4.0, 8.0))
    covered = wardrobe.scarves > 0 or rng.random() < 0.25
    stockings = Cloth("nylon", COLORS["black"]) if shape == "skirt" and covered else None
    return Lower(shape, cloth, reach, fit, stockings)


def _shoes(kind: str, rng: np.random.Generator) -> Accessory:
    dark: Weights = {"black": 4, "dark_brown": 2, "brown": 1.5, "charcoal": 1}
    bright: Weights = {"white": 5, "black": 3, "red": 1, "blue": 1, "gray": 1, "lime": 0.5}
    color = _vary(COLORS[pick(rng, bright if kind == "sneakers" else dark)], rng, 0.03)
    sole = (0.85, 0.85, 0.83) if kind == "sneakers" else _scaled(color, 0.6)
    return Accessory(kind, Cloth("leather" if kind != "sneakers" else "nylon", color, second=sole))


def _bag(kind: str, wardrobe: Wardrobe, rng: np.random.Generator) -> Accessory:
    colors = {"black": 3.0, "brown": 1.5, "navy": 1, "gray": 1, "red": 1, "green": 0.6, "camel": 1}
    color = _vary(COLORS[pick(rng, colors | wardrobe.upper_colors)], rng, 0.03)
    pattern = pick(rng, {"plain": 5, "two_tone": 2, "stripes": 0.6, "dots": 0.4})
    cloth = Cloth("nylon", color, pattern, _contrasting(color, wardrobe, rng), 8.0)
    return Accessory(kind, cloth)


def _hat_cloth(kind: str, wardrobe: Wardrobe, rng: np.random.Generator) -> Cloth:
    colors: Weights = wardrobe.upper_colors
    if kind == "helmet":
        colors = {"yellow": 3, "white": 2, "blue": 1, "orange": 1}
    if kind == "sun_hat":
        colors = {"beige": 3, "cream": 2, "camel": 1}
    color = _vary(COLORS[pick(rng, colors)], rng, 0.03)
    pattern = "two_tone" if kind in ("cap", "beanie") and rng.random() < 0.3 else "plain"
    return Cloth("wool" if kind == "beanie" else "nylon", color, pattern, _scaled(color, 0.5), 9.0)


def _scarf(worn: bool, wardrobe: Wardrobe, rng: np.random.Generator) -> Accessory:
    if not worn:
        return Accessory("none", _ABSENT)
    names: Weights = {"red": 2, "cream": 2, "mustard": 1, "teal": 1, "charcoal": 1, "pink": 1}
    return Accessory("scarf", Cloth("wool", _vary(COLORS[pick(rng, names)], rng, 0.03)))


def _contrasting(color: RGB, wardrobe: Wardrobe, rng: np.random.Generator) -> RGB:
    """Draw a second color that is distinguishable from the first."""
    names = dict(wardrobe.upper_colors) | {"white": 4.0, "black": 2.0}
    for _ in range(8):
        second = COLORS[pick(rng, names)]
        if sum(abs(a - b) for a, b in zip(color, second, strict=True)) > 0.6:
            break
    return second


def _vary(color: RGB, rng: np.random.Generator, amount: float) -> RGB:
    """Vary a color a little: no two dyes are the same."""
    red, green, blue = np.clip(np.asarray(color) + rng.normal(0, amount, 3), 0.03, 0.97)
    return float(red), float(green), float(blue)


def _scaled(color: RGB, factor: float) -> RGB:
    red, green, blue = color
    return red * factor, green * factor, blue * factor
