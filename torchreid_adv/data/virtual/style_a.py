"""``virtual_a``: a campus in summer. Light clothes, six cameras in sun and shade."""

from __future__ import annotations

from torchreid_adv.data.virtual.solids import Light
from torchreid_adv.data.virtual.style import Camera, Scene, Style, Wardrobe

_WARDROBE = Wardrobe(
    uppers={
        "t_shirt": 9, "tank_top": 1.5, "shirt": 2, "short_shirt": 2.5, "sweater": 1, "hoodie": 1.5,
        "open_hoodie": 1, "jacket": 0.6, "open_jacket": 1, "dress": 1.2, "summer_dress": 1,
        "jersey": 1,
    },
    lowers={
        "jeans": 4, "slim_trousers": 2, "trousers": 2, "cropped": 1, "shorts": 3, "jean_shorts": 2,
        "long_shorts": 2, "running_shorts": 0.6, "leggings": 1, "mini_skirt": 1, "skirt": 1.2,
        "long_skirt": 0.6,
    },
    upper_colors={
        "white": 3, "black": 2, "gray": 1.2, "navy": 1.2, "blue": 1, "sky": 1.2, "red": 1.2,
        "pink": 1, "yellow": 0.8, "green": 0.8, "teal": 0.7, "orange": 0.6, "purple": 0.6,
        "lilac": 0.6, "olive": 0.6, "cream": 0.8, "turquoise": 0.5, "burgundy": 0.5,
    },
    lower_colors={
        "black": 3, "khaki": 2, "navy": 1.5, "gray": 1.5, "white": 1, "olive": 1, "beige": 1,
        "red": 0.5, "sky": 0.5, "brown": 0.6, "pink": 0.4,
    },
    patterns={
        "plain": 6, "stripes": 1.3, "thin_stripes": 1, "checks": 1, "dots": 0.6, "print": 1.8,
        "round_print": 1.3, "two_tone": 1, "band": 1, "sides": 0.5, "vertical": 0.6,
        "camouflage": 0.4,
    },
    shoes={"sneakers": 6, "shoes": 2, "sandals": 1, "boots": 0.4},
    bags={"none": 5, "backpack": 4, "messenger": 1.6, "tote": 1.2, "handbag": 1},
    hats={"none": 9, "cap": 1.5, "sun_hat": 0.6},
)  # fmt: skip

_GATE = Camera(
    scene=Scene("brick", "tiles", (0.56, 0.34, 0.27), (0.66, 0.64, 0.60),
                ("door", "window", "poster", "bicycle", "bush"), 0.36, 0.30),
    views={0: 5, 25: 2, -30: 2, 180: 1.5, 80: 1},
    pitch=0.14,
    light=Light(-0.55, -0.5, 0.65, 0.47, 0.69),
    gains=(1.02, 1.0, 0.96), gamma=0.98, saturation=1.02, contrast=1.02, haze=0.0,
    exposure=0.025, blur=0.259, noise=0.007, resolution=(0.90, 1.00), framing=0.36,
    occluders={"bicycle": 0.028, "pole": 0.021},
)  # fmt: skip

_LAWN = Camera(
    scene=Scene("hedge", "grass", (0.24, 0.40, 0.19), (0.40, 0.52, 0.26),
                ("tree", "bench", "bush", "bin", "tree"), 0.30, 0.34),
    views={90: 4, 115: 2, 60: 2, -90: 2},
    pitch=0.20,
    light=Light(0.5, -0.6, 0.55, 0.52, 0.69),
    gains=(0.99, 1.01, 0.97), gamma=0.96, saturation=1.05, contrast=1.0, haze=0.012,
    exposure=0.033, blur=0.325, noise=0.008, resolution=(0.75, 1.00), framing=0.4,
    occluders={"bush": 0.056, "bench": 0.028},
)  # fmt: skip

_SHADE = Camera(
    scene=Scene("plaster", "asphalt", (0.62, 0.62, 0.64), (0.36, 0.37, 0.39),
                ("car", "window", "bicycle", "tree", "car"), 0.33, 0.14),
    views={180: 5, 150: 2, -150: 2, 0: 1},
    pitch=0.18,
    light=Light(-0.1, -0.75, 0.6, 0.59, 0.47),
    gains=(0.94, 0.98, 1.05), gamma=1.05, saturation=0.93, contrast=0.98, haze=0.008,
    exposure=0.025, blur=0.374, noise=0.011, resolution=(0.70, 0.98), framing=0.44,
    occluders={"car": 0.035, "bicycle": 0.035, "pole": 0.014},
)  # fmt: skip

_SHOPS = Camera(
    scene=Scene("panels", "tiles", (0.72, 0.68, 0.60), (0.58, 0.55, 0.52),
                ("shop", "shop", "door", "plant", "bin"), 0.42, 0.22),
    views={-90: 4, -60: 2, -120: 2, 0: 1, 180: 1},
    pitch=0.10,
    light=Light(0.35, -0.3, 0.88, 0.42, 0.58),
    gains=(1.04, 0.99, 0.94), gamma=1.0, saturation=0.98, contrast=1.05, haze=0.0,
    exposure=0.03, blur=0.231, noise=0.009, resolution=(0.85, 1.00), framing=0.4,
    occluders={"pole": 0.035},
)  # fmt: skip

_HALL = Camera(
    scene=Scene("facade", "polished", (0.60, 0.63, 0.66), (0.52, 0.55, 0.55),
                ("pillar", "plant", "poster", "bench"), 0.32, 0.06),
    views={0: 2, 45: 2, -45: 2, 180: 2, 135: 1, -135: 1},
    pitch=0.26,
    light=Light(0.1, -0.85, 0.5, 0.59, 0.54),
    gains=(0.97, 1.02, 0.98), gamma=1.02, saturation=0.91, contrast=0.96, haze=0.028,
    exposure=0.02, blur=0.424, noise=0.008, resolution=(0.70, 0.93), framing=0.48,
    occluders={"luggage": 0.021, "pole": 0.021},
)  # fmt: skip

_OLD = Camera(
    scene=Scene("shutter", "asphalt", (0.50, 0.52, 0.48), (0.46, 0.45, 0.43),
                ("bin", "fence", "door", "bicycle", "poster"), 0.38, 0.26),
    views={160: 3, -160: 2, 20: 2, 90: 1},
    pitch=0.16,
    light=Light(-0.75, -0.35, 0.5, 0.44, 0.84),
    gains=(1.01, 0.99, 1.01), gamma=1.08, saturation=0.86, contrast=1.06, haze=0.012,
    exposure=0.04, blur=0.468, noise=0.017, resolution=(0.60, 0.83), framing=0.52,
    occluders={"bicycle": 0.021, "pole": 0.028, "bench": 0.021},
)  # fmt: skip

STYLE_A = Style("virtual_a", _WARDROBE, (_GATE, _LAWN, _SHADE, _SHOPS, _HALL, _OLD), alike=0.2)
