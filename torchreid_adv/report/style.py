"""The style of figures and pages: one palette for both, and figures as PNG, PDF and SVG.

Drawing does not use pyplot and its global state.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.errors import printable


@dataclass(frozen=True)
class Tone:
    """A color of pages and figures.

    Args:
        name: of its CSS variable, without the dashes.
        light: on a light page and in files, ``#rrggbb``.
        dark: on a dark page.
    """

    name: str
    light: str
    dark: str


TONES = (
    Tone("ink", "#0f172a", "#e6ebf4"),
    Tone("muted", "#475569", "#a9b6cb"),
    Tone("line", "#e2e8f0", "#35435c"),
    Tone("paper", "#f8fafc", "#0d1422"),
    Tone("card", "#ffffff", "#172134"),
    Tone("tint", "#f1f5f9", "#22304a"),
    Tone("clean", "#0e7490", "#5cc8de"),
    Tone("adversarial", "#7c3aed", "#b9a2ff"),
    Tone("right", "#15803d", "#58cf86"),
    Tone("wrong", "#c81e1e", "#ff8f8f"),
    Tone("amber", "#b45309", "#f3b562"),
    Tone("pink", "#be185d", "#f79ac4"),
    Tone("slate", "#526077", "#8fa3c2"),
    Tone("olive", "#4d7c0f", "#a9d15c"),
)
_LIGHT = {tone.name: tone.light for tone in TONES}
CLEAN, ATTACKED = _LIGHT["clean"], _LIGHT["adversarial"]
RIGHT, WRONG = _LIGHT["right"], _LIGHT["wrong"]
INK, MUTED, GRID, CARD = (_LIGHT[name] for name in ("ink", "muted", "line", "card"))
# colors of lines and of people, which also have different marks
SERIES = tuple(
    _LIGHT[name]
    for name in ("clean", "adversarial", "wrong", "right", "amber", "slate", "pink", "olive")
)
DPI = 200
FORMATS = ("png", "pdf", "svg")  # of figure files
_FILES: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "torchreid_adv",
    "pdf.fonttype": 42,
}
_UNDATED = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


def variables(*, dark: bool = False) -> Markup:
    """Return the declarations of the CSS variables of the palette."""
    pairs = ((tone.name, tone.dark if dark else tone.light) for tone in TONES)
    return Markup(" ".join(f"--{name}: {color};" for name, color in pairs))


def to_png(figure: Figure) -> bytes:
    """Render a figure as PNG; equal figures give equal bytes."""
    return _saved(figure, "png")


def to_files(figure: Figure, *, photo: bool = False) -> dict[str, bytes]:
    """Render a figure for papers: ``png``, ``pdf`` with embedded fonts, and ``svg``.

    Args:
        figure: the drawing.
        photo: it is made of images, which SVG would only embed as PNG, so no SVG is made.
    """
    kinds = [kind for kind in FORMATS if not (photo and kind == "svg")]
    return {kind: _saved(figure, kind) for kind in kinds}


def _saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    pixels: dict[str, Any] = (
        {"dpi": DPI, "pil_kwargs": {"compress_level": 4}} if kind == "png" else {}
    )
    with rc_context(_FILES):
        figure.savefig(buffer, format=kind, metadata=_UNDATED[kind], **pixels)
    return buffer.getvalue()


def to_inline(svg: bytes, name: str, alt: str) -> Markup:
    """Return an SVG file as an element of a page, in the page's colors and font.

    Colors of the palette become CSS variables, so that a dark page has light text.

    Args:
        svg: file, as :func:`to_files` returns it.
        name: prefix of every id, so that ids are unique on a page.
        alt: description of the figure for readers who do not see it.
    """
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(
        r' id="(?:figure|axes|patch|text|line2d|[xy]tick|matplotlib|\w*Coll)[^"]*"', "", text
    )
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for tone in TONES:
        text = text.replace(tone.light, f"var(--{tone.name})")
    size = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', text)
    assert size is not None  # matplotlib writes it
    width = float(size[1])  # points
    head = (
        f'<svg class="chart" role="img" aria-label="{escape(printable(alt))}" '
        f'style="min-width: {0.85 * width:.0f}px; max-width: {1.6 * width:.0f}px" viewBox='
    )
    text = re.sub(r"<svg .*?viewBox=", lambda _: head, text, count=1, flags=re.DOTALL)
    text = re.sub(r' (xmlns(:xlink)?|version)="[^"]*"', "", text, count=3)
    return Markup("\n".join(_shown(text)))


def _shown(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if line.strip():
            yield printable(line.strip())


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colors, 1 to 21, as the WCAG define it.

    Args:
        first: ``#rrggbb``.
        second: the same.
    """
    bright, dim = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / LEVELS for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(w * part for w, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def tidy(axes: Axes) -> None:
    """Remove what is not data from the axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=10)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
