"""Curves of mAP against the bound of an attack (the form of Bai et al., figure 5)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from torchreid_adv.report.charts import INK, MUTED
from torchreid_adv.report.matrix import Cell

COLORS = ("#0e7490", "#7c3aed", "#dc2626", "#15803d", "#b45309", "#475569")
MARKS = ("o", "s", "^", "D", "v", "P")


def eps_figure(cells: Sequence[Cell], target: str) -> Figure:
    """Draw the mAP of one data set against eps, a line per attack, metric and tested model.

    Args:
        cells: of a sweep; each line starts at its model's clean mAP.
        target: data set.
    """
    drawn = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = drawn.subplots()
    for number, (name, points) in enumerate(_lines(cells, target).items()):
        bounds, means = zip(*sorted(points.items()), strict=True)
        color, mark = COLORS[number % len(COLORS)], MARKS[number % len(MARKS)]
        axes.plot(bounds, [100 * mean for mean in means], f"{mark}-", color=color, label=name)
    axes.set_xlabel("eps [gray levels of 255]", color=INK)
    axes.set_ylabel("mAP [%]", color=INK)
    axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=MUTED)
    axes.legend(frameon=False, fontsize=8)
    return drawn


def _lines(cells: Sequence[Cell], target: str) -> dict[str, dict[float, float]]:
    lines: dict[str, dict[float, float]] = {}
    for cell in cells:
        if cell.target == target:
            name = f"{cell.attack}, {cell.metric or 'the metric of the evaluation'}"
            name += f" / {cell.ranked}" if cell.ranked else ""
            if cell.attacked != cell.tested:
                name += f", {cell.attacked} on {cell.tested}"
            line = lines.setdefault(name, {0.0: float(cell.clean["mAP"])})
            line[cell.eps] = float(cell.adversarial["mAP"])
    return lines
