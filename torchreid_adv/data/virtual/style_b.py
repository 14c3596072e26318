"""``virtual_b``: a town in winter. Dark coats and scarves, five cameras, dim and snowy."""

from __future__ import annotations

from torchreid_adv.data.virtual.solids import Light
from torchreid_adv.data.virtual.style import Camera, Scene, Style, Wardrobe

_WARDROBE = Wardrobe(
    uppers={
        "down_jacket": 5, "coat": 3.5, "open_coat": 2, "parka": 4, "jacket": 2.5,
        "open_jacket": 1.5, "leather_jacket": 1.5, "hoodie": 1.5, "sweater": 0.8, "blazer": 0.5,
    },
    lowers={
        "jeans": 6, "trousers": 3, "slim_trousers": 3, "suit_trousers": 1.5, "leggings": 1.5,
        "wide_trousers": 1.2, "track_pants": 1, "skirt": 0.8, "long_skirt": 0.7,
    },
    upper_colors={
        "black": 5, "charcoal": 3, "navy": 3, "gray": 2, "dark_brown": 1, "brown": 1.2, "olive": 2,
        "camel": 1.4, "beige": 1.2, "burgundy": 1.4, "teal": 0.7, "red": 1, "mustard": 0.7,
        "white": 0.8, "purple": 0.5, "green": 0.6, "rust": 0.6, "blue": 0.7,
    },
    lower_colors={
        "black": 5, "charcoal": 2.5, "navy": 2, "gray": 1.5, "brown": 1, "olive": 0.8, "khaki": 0.7,
        "burgundy": 0.3,
    },
    patterns={"plain": 9, "checks": 1.2, "two_tone": 2, "band": 0.8, "sides": 0.6, "print": 0.4,
              "vertical": 0.3, "camouflage": 0.3},
    shoes={"boots": 4, "shoes": 3, "sneakers": 3},
    bags={"none": 5, "backpack": 3, "messenger": 1.2, "tote": 1.5, "handbag": 1.5},
    hats={"none": 5, "beanie": 3.5, "cap": 0.6},
    scarves=0.35,
)  # fmt: skip

_SQUARE = Camera(
    scene=Scene("plaster", "snow", (0.70, 0.62, 0.50), (0.84, 0.86, 0.90),
                ("shop", "door", "window", "tree", "bin"), 0.34, 0.10),
    views={0: 4, 35: 2, -35: 2, 180: 2},
    pitch=0.15,
    light=Light(-0.2, -0.7, 0.68, 0.6, 0.43),
    gains=(0.98, 1.0, 1.03), gamma=1.0, saturation=0.94, contrast=0.98, haze=0.016,
    exposure=0.025, blur=0.281, noise=0.009, resolution=(0.80, 1.00), framing=0.4,
    occluders={"pole": 0.035},
)  # fmt: skip

_STATION = Camera(
    scene=Scene("panels", "tiles", (0.58, 0.56, 0.50), (0.48, 0.47, 0.45),
                ("poster", "pillar", "bench", "bin", "lockers"), 0.30, 0.05),
    views={180: 4, 145: 2, -145: 2, 0: 1},
    pitch=0.24,
    light=Light(0.15, -0.85, 0.5, 0.56, 0.6),
    gains=(1.04, 1.01, 0.92), gamma=1.02, saturation=0.93, contrast=1.0, haze=0.012,
    exposure=0.018, blur=0.374, noise=0.011, resolution=(0.70, 0.98), framing=0.4,
    occluders={"luggage": 0.07, "pole": 0.028},
)  # fmt: skip

_DUSK = Camera(
    scene=Scene("brick", "asphalt", (0.40, 0.28, 0.25), (0.33, 0.33, 0.36),
                ("car", "car", "tree", "door", "fence"), 0.34, 0.30),
    views={90: 4, 60: 1, 120: 2, -90: 2},
    pitch=0.12,
    light=Light(0.7, -0.3, 0.55, 0.51, 0.67),
    gains=(0.99, 0.99, 1.07), gamma=1.02, saturation=0.89, contrast=1.04, haze=0.008,
    exposure=0.037, blur=0.424, noise=0.019, resolution=(0.65, 0.93), framing=0.48,
    occluders={"car": 0.056, "pole": 0.028},
)  # fmt: skip

_ARCADE = Camera(
    scene=Scene("facade", "polished", (0.52, 0.48, 0.42), (0.60, 0.54, 0.46),
                ("shop", "shop", "plant", "pillar"), 0.42, 0.05),
    views={-90: 3, -50: 2, -130: 2, 30: 1},
    pitch=0.18,
    light=Light(-0.4, -0.5, 0.75, 0.47, 0.59),
    gains=(1.05, 1.0, 0.94), gamma=0.97, saturation=1.01, contrast=1.02, haze=0.0,
    exposure=0.022, blur=0.231, noise=0.008, resolution=(0.85, 1.00), framing=0.36,
    occluders={"luggage": 0.021},
)  # fmt: skip

_PARK = Camera(
    scene=Scene("hedge", "snow", (0.30, 0.32, 0.27), (0.78, 0.80, 0.85),
                ("tree", "bench", "fence", "tree", "bush"), 0.30, 0.22),
    views={0: 2, 90: 2, 180: 2, -90: 2},
    pitch=0.20,
    light=Light(-0.6, -0.4, 0.65, 0.49, 0.64),
    gains=(0.98, 1.0, 1.01), gamma=0.96, saturation=0.96, contrast=1.06, haze=0.0,
    exposure=0.035, blur=0.374, noise=0.01, resolution=(0.70, 0.98), framing=0.48,
    occluders={"bush": 0.035, "bench": 0.035},
)  # fmt: skip

STYLE_B = Style(
    "virtual_b", _WARDROBE, (_SQUARE, _STATION, _DUSK, _ARCADE, _PARK), alike=0.2, sizes=0.16
)
