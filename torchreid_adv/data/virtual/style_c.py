"""``virtual_c``: works and sports grounds. Uniforms and bright kit, four cameras, hard light.

``virtual_c_long`` is the same place over a long time: clothes differ between cameras.
"""

from __future__ import annotations

from dataclasses import replace

from torchreid_adv.data.virtual.solids import Light
from torchreid_adv.data.virtual.style import Camera, Scene, Style, Wardrobe

_WARDROBE = Wardrobe(
    uppers={
        "vest": 3, "jersey": 4, "track_top": 4, "blazer": 3, "shirt": 2.5, "short_shirt": 2,
        "tank_top": 1, "hoodie": 1.2, "jacket": 1.5,
    },
    lowers={
        "track_pants": 4, "running_shorts": 2.5, "long_shorts": 2, "suit_trousers": 4,
        "trousers": 3, "wide_trousers": 1, "leggings": 2, "skirt": 1,
    },
    upper_colors={
        "safety_yellow": 2, "safety_orange": 2, "red": 2, "blue": 2, "white": 2, "navy": 2,
        "black": 1.5, "lime": 1, "turquoise": 1, "magenta": 0.8, "charcoal": 1.5, "sky": 1.2,
        "green": 1.2, "purple": 0.6, "yellow": 0.8,
    },
    lower_colors={
        "black": 3, "navy": 3, "charcoal": 2, "white": 1, "red": 0.8, "blue": 1, "gray": 1,
        "khaki": 1, "safety_orange": 0.5, "green": 0.4,
    },
    patterns={
        "plain": 4, "band": 2, "sides": 2, "two_tone": 2, "vertical": 1, "stripes": 1, "print": 2,
        "round_print": 1, "checks": 0.4, "thin_stripes": 0.6,
    },
    shoes={"sneakers": 5, "shoes": 3, "boots": 2},
    bags={"none": 7, "backpack": 2, "messenger": 1.5, "handbag": 0.8, "tote": 0.8},
    hats={"none": 6, "helmet": 2, "cap": 2},
)  # fmt: skip

_LOBBY = Camera(
    scene=Scene("panels", "polished", (0.74, 0.75, 0.76), (0.62, 0.62, 0.63),
                ("plant", "pillar", "door", "poster"), 0.36, 0.04),
    views={0: 4, 180: 3, 40: 1, -40: 1},
    pitch=0.20,
    light=Light(0.1, -0.7, 0.7, 0.55, 0.51),
    gains=(0.98, 1.01, 1.02), gamma=0.98, saturation=0.96, contrast=1.0, haze=0.012,
    exposure=0.015, blur=0.231, noise=0.007, resolution=(0.85, 1.00), framing=0.36,
    occluders={"counter": 0.056},
)  # fmt: skip

_COURT = Camera(
    scene=Scene("shutter", "court", (0.40, 0.52, 0.60), (0.70, 0.42, 0.30),
                ("fence", "bench", "fence", "bin"), 0.28, 0.30),
    views={90: 2, -90: 2, 45: 1, -45: 1, 135: 1, 0: 1},
    pitch=0.24,
    light=Light(-0.6, -0.55, 0.55, 0.45, 0.81),
    gains=(1.02, 1.0, 0.95), gamma=0.96, saturation=1.06, contrast=1.06, haze=0.0,
    exposure=0.035, blur=0.325, noise=0.008, resolution=(0.75, 1.00), framing=0.48,
    occluders={"bench": 0.028, "pole": 0.021},
)  # fmt: skip

_YARD = Camera(
    scene=Scene("brick", "asphalt", (0.58, 0.50, 0.42), (0.42, 0.42, 0.41),
                ("car", "fence", "lockers", "bin", "door"), 0.34, 0.26),
    views={180: 3, 0: 2, 150: 2, -150: 1},
    pitch=0.16,
    light=Light(0.65, -0.45, 0.6, 0.44, 0.73),
    gains=(0.98, 0.99, 1.02), gamma=1.05, saturation=0.92, contrast=1.02, haze=0.016,
    exposure=0.03, blur=0.396, noise=0.013, resolution=(0.65, 0.98), framing=0.44,
    occluders={"car": 0.042, "pole": 0.035},
)  # fmt: skip

_CORRIDOR = Camera(
    scene=Scene("plaster", "boards", (0.66, 0.64, 0.54), (0.50, 0.38, 0.26),
                ("lockers", "door", "poster", "lockers"), 0.42, 0.04),
    views={-90: 2, 90: 2, 0: 2, 180: 2},
    pitch=0.12,
    light=Light(-0.2, -0.75, 0.6, 0.51, 0.6),
    gains=(1.06, 1.0, 0.91), gamma=1.03, saturation=0.95, contrast=0.98, haze=0.008,
    exposure=0.02, blur=0.374, noise=0.011, resolution=(0.70, 0.98), framing=0.4,
    occluders={"luggage": 0.028, "counter": 0.021},
)  # fmt: skip

STYLE_C = Style("virtual_c", _WARDROBE, (_LOBBY, _COURT, _YARD, _CORRIDOR), alike=0.2, sizes=0.12)

STYLE_C_LONG = replace(STYLE_C, name="virtual_c_long", changes=True)
