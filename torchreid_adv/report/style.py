"""How figures look, drawn without pyplot and its global state."""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure

CLEAN, ATTACKED, RIGHT, WRONG = "#0e7490", "#7c3aed", "#15803d", "#dc2626"
INK, MUTED, GRID = "#0f172a", "#64748b", "#e2e8f0"
DPI = 200


def to_png(figure: Figure) -> bytes:
    """Render a figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": 4}
    )
    return buffer.getvalue()


def tidy(axes: Axes) -> None:
    """Take what is not data off the axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=9)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
