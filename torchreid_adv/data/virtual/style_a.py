"""``virtual_a``: a campus in summer. Light clothes, six cameras in sun and shade."""

from __future__ import annotations

from torchreid_adv.data.virtual.canvas import Light
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
    light=Light(-0.55, -0.5, 0.65, 0.46, 0.68),
    gains=(1.06, 1.0, 0.90), gamma=0.95, saturation=1.05, contrast=1.06, haze=0.0,
    exposure=0.10, blur=0.47, noise=0.012, resolution=(0.90, 1.00), framing=0.9,
    occluders={"bicycle": 0.04, "pole": 0.03},
)  # fmt: skip

_LAWN = Camera(
    scene=Scene("hedge", "grass", (0.24, 0.40, 0.19), (0.40, 0.52, 0.26),
                ("tree", "bench", "bush", "bin", "tree"), 0.30, 0.34),
    views={90: 4, 115: 2, 60: 2, -90: 2},
    pitch=0.20,
    light=Light(0.5, -0.6, 0.55, 0.50, 0.66),
    gains=(0.98, 1.03, 0.92), gamma=0.9, saturation=1.12, contrast=1.0, haze=0.03,
    exposure=0.13, blur=0.59, noise=0.014, resolution=(0.75, 1.00), framing=1.0,
    occluders={"bush": 0.08, "bench": 0.04},
)  # fmt: skip

_SHADE = Camera(
    scene=Scene("plaster", "asphalt", (0.62, 0.62, 0.64), (0.36, 0.37, 0.39),
                ("car", "window", "bicycle", "tree", "car"), 0.33, 0.14),
    views={180: 5, 150: 2, -150: 2, 0: 1},
    pitch=0.18,
    light=Light(-0.1, -0.75, 0.6, 0.50, 0.40),
    gains=(0.86, 0.95, 1.12), gamma=1.12, saturation=0.82, contrast=0.95, haze=0.02,
    exposure=0.10, blur=0.68, noise=0.02, resolution=(0.70, 0.98), framing=1.1,
    occluders={"car": 0.05, "bicycle": 0.05, "pole": 0.02},
)  # fmt: skip

_SHOPS = Camera(
    scene=Scene("panels", "tiles", (0.72, 0.68, 0.60), (0.58, 0.55, 0.52),
                ("shop", "shop", "door", "plant", "bin"), 0.42, 0.22),
    views={-90: 4, -60: 2, -120: 2, 0: 1, 180: 1},
    pitch=0.10,
    light=Light(0.35, -0.3, 0.88, 0.44, 0.60),
    gains=(1.10, 0.98, 0.84), gamma=1.0, saturation=0.95, contrast=1.12, haze=0.0,
    exposure=0.12, blur=0.42, noise=0.016, resolution=(0.85, 1.00), framing=1.0,
    occluders={"pole": 0.05},
)  # fmt: skip

_HALL = Camera(
    scene=Scene("facade", "polished", (0.60, 0.63, 0.66), (0.52, 0.55, 0.55),
                ("pillar", "plant", "poster", "bench"), 0.32, 0.06),
    views={0: 2, 45: 2, -45: 2, 180: 2, 135: 1, -135: 1},
    pitch=0.26,
    light=Light(0.1, -0.85, 0.5, 0.50, 0.46),
    gains=(0.92, 1.05, 0.95), gamma=1.05, saturation=0.78, contrast=0.9, haze=0.07,
    exposure=0.08, blur=0.77, noise=0.014, resolution=(0.70, 0.93), framing=1.2,
    occluders={"luggage": 0.03, "pole": 0.03},
)  # fmt: skip

_OLD = Camera(
    scene=Scene("shutter", "asphalt", (0.50, 0.52, 0.48), (0.46, 0.45, 0.43),
                ("bin", "fence", "door", "bicycle", "poster"), 0.38, 0.26),
    views={160: 3, -160: 2, 20: 2, 90: 1},
    pitch=0.16,
    light=Light(-0.75, -0.35, 0.5, 0.38, 0.72),
    gains=(1.02, 0.98, 1.02), gamma=1.2, saturation=0.66, contrast=1.15, haze=0.03,
    exposure=0.16, blur=0.85, noise=0.03, resolution=(0.60, 0.83), framing=1.3,
    occluders={"bicycle": 0.03, "pole": 0.04, "bench": 0.03},
)  # fmt: skip

STYLE_A = Style("virtual_a", _WARDROBE, (_GATE, _LAWN, _SHADE, _SHOPS, _HALL, _OLD), alike=0.6)
