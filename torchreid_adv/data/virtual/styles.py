"""The index of styles."""

from __future__ import annotations

from torchreid_adv.data.virtual.style import Style
from torchreid_adv.data.virtual.style_a import STYLE_A
from torchreid_adv.data.virtual.style_b import STYLE_B
from torchreid_adv.data.virtual.style_c import STYLE_C, STYLE_C_LONG
from torchreid_adv.errors import ConfigError, suggest

STYLE_VI = Style(
    "virtual_vi",
    STYLE_A.wardrobe,
    (STYLE_A.cameras[0], STYLE_A.cameras[1], STYLE_A.cameras[3], STYLE_B.cameras[1]),
    alike=0.2,
)


STYLES: dict[str, Style] = {
    style.name: style for style in (STYLE_A, STYLE_B, STYLE_C, STYLE_C_LONG)
}
# style of tracklets, in daylight and infrared light
WALKING: dict[str, Style] = {STYLE_VI.name: STYLE_VI}


def style_named(name: str) -> Style:
    """Return a style by name.

    Raises:
        ConfigError: the name is unknown; the error suggests the nearest one.
    """
    known = {**STYLES, **WALKING}
    if name not in known:
        raise ConfigError(f"unknown style of virtual people '{name}'{suggest(name, known)}")
    return known[name]
