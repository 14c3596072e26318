"""``virtual_vi``: a campus and a station, filmed by day and, by the same cameras, at night."""

from __future__ import annotations

from torchreid_adv.data.virtual.style import Style
from torchreid_adv.data.virtual.style_a import STYLE_A
from torchreid_adv.data.virtual.style_b import STYLE_B

STYLE_VI = Style(
    "virtual_vi",
    STYLE_A.wardrobe,
    (STYLE_A.cameras[0], STYLE_A.cameras[1], STYLE_A.cameras[3], STYLE_B.cameras[1]),
    alike=0.2,
)
