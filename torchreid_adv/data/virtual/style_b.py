"""``virtual_b``: a town in winter. Dark coats and scarves, five cameras, dim and snowy."""

from __future__ import annotations

from torchreid_adv.data.virtual.canvas import Light
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
    light=Light(-0.2, -0.7, 0.68, 0.56, 0.40),
    gains=(0.94, 1.0, 1.08), gamma=1.0, saturation=0.85, contrast=0.95, haze=0.04,
    exposure=0.10, blur=0.51, noise=0.016, resolution=(0.80, 1.00), framing=1.0,
    occluders={"pole": 0.05},
)  # fmt: skip

_STATION = Camera(
    scene=Scene("panels", "tiles", (0.58, 0.56, 0.50), (0.48, 0.47, 0.45),
                ("poster", "pillar", "bench", "bin", "lockers"), 0.30, 0.05),
    views={180: 4, 145: 2, -145: 2, 0: 1},
    pitch=0.24,
    light=Light(0.15, -0.85, 0.5, 0.46, 0.50),
    gains=(1.10, 1.02, 0.80), gamma=1.05, saturation=0.82, contrast=1.0, haze=0.03,
    exposure=0.07, blur=0.68, noise=0.02, resolution=(0.70, 0.98), framing=1.0,
    occluders={"luggage": 0.10, "pole": 0.04},
)  # fmt: skip

_DUSK = Camera(
    scene=Scene("brick", "asphalt", (0.40, 0.28, 0.25), (0.33, 0.33, 0.36),
                ("car", "car", "tree", "door", "fence"), 0.34, 0.30),
    views={90: 4, 60: 1, 120: 2, -90: 2},
    pitch=0.12,
    light=Light(0.7, -0.3, 0.55, 0.46, 0.60),
    gains=(0.98, 0.98, 1.18), gamma=1.05, saturation=0.72, contrast=1.1, haze=0.02,
    exposure=0.15, blur=0.77, noise=0.035, resolution=(0.65, 0.93), framing=1.2,
    occluders={"car": 0.08, "pole": 0.04},
)  # fmt: skip

_ARCADE = Camera(
    scene=Scene("facade", "polished", (0.52, 0.48, 0.42), (0.60, 0.54, 0.46),
                ("shop", "shop", "plant", "pillar"), 0.42, 0.05),
    views={-90: 3, -50: 2, -130: 2, 30: 1},
    pitch=0.18,
    light=Light(-0.4, -0.5, 0.75, 0.46, 0.58),
    gains=(1.12, 1.0, 0.86), gamma=0.92, saturation=1.02, contrast=1.04, haze=0.0,
    exposure=0.09, blur=0.42, noise=0.014, resolution=(0.85, 1.00), framing=0.9,
    occluders={"luggage": 0.03},
)  # fmt: skip

_PARK = Camera(
    scene=Scene("hedge", "snow", (0.30, 0.32, 0.27), (0.78, 0.80, 0.85),
                ("tree", "bench", "fence", "tree", "bush"), 0.30, 0.22),
    views={0: 2, 90: 2, 180: 2, -90: 2},
    pitch=0.20,
    light=Light(-0.6, -0.4, 0.65, 0.48, 0.62),
    gains=(0.96, 1.0, 1.02), gamma=0.9, saturation=0.9, contrast=1.15, haze=0.0,
    exposure=0.14, blur=0.68, noise=0.018, resolution=(0.70, 0.98), framing=1.2,
    occluders={"bush": 0.05, "bench": 0.05},
)  # fmt: skip

STYLE_B = Style(
    "virtual_b", _WARDROBE, (_SQUARE, _STATION, _DUSK, _ARCADE, _PARK), alike=0.6, sizes=0.16
)
