"""Curves of mAP against the bound of an attack (Bai et al., figure 5) or what it asks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from torchreid_adv.report.charts import ATTACKED, CLEAN, INK, MUTED, tidy
from torchreid_adv.report.matrix import Cell

COLORS = ("#0e7490", "#7c3aed", "#dc2626", "#15803d", "#b45309", "#475569")
MARKS = ("o", "s", "^", "D", "v", "P")
_LINEAR = 2.0  # gray levels up to which the axis of bounds is about linear, logarithmic beyond
_GAP = 0.25  # between labels there


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


def queries_figure(curve: dict[str, Any], stored: float) -> Figure:
    """Draw mAP against the answers that an attack asked for each image.

    Args:
        curve: ``query_curve`` of a data set's results.
        stored: mAP of the stored images, in [0, 1].
    """
    drawn = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = drawn.subplots()
    tidy(axes)
    asked, means = curve["queries"], [100 * mean for mean in curve["mAP"]]
    axes.axhline(means[0], color=CLEAN, linewidth=1.2, linestyle="--", label="clean")
    axes.plot(
        asked, means, "o-", color=ATTACKED, linewidth=2, label="before rounding", clip_on=False
    )
    axes.plot(
        asked[-1:],
        [100 * stored],
        "D",
        markerfacecolor="white",
        markeredgecolor=INK,
        label="stored files",
        zorder=3,
        clip_on=False,
    )
    axes.set_xlim(0, asked[-1] * 1.02)
    axes.set_ylim(0, 1.12 * max(*means, 100 * stored, 1))
    axes.set_xlabel("answers asked for each image", color=INK)
    axes.set_ylabel("mAP [%]", color=INK)
    axes.legend(frameon=False, fontsize=9)
    return drawn


def bounds_figure(
    lines: Mapping[str, Mapping[int, float]],
    points: Mapping[str, Mapping[int, float]],
    chance: float,
) -> Figure:
    """Draw how figures fall as the bound grows from nothing to none.

    Args:
        lines: name -> bound in gray levels -> figure in [0, 1].
        points: the same for single bounds, marked beside the lines.
        chance: of a random order.
    """
    drawn = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = drawn.subplots()
    tidy(axes)
    axes.set_xscale("asinh", linear_width=_LINEAR)
    for number, (name, line) in enumerate(lines.items()):
        bounds = sorted(line)
        rates = [100 * line[bound] for bound in bounds]
        axes.plot(bounds, rates, "o-", color=COLORS[number], linewidth=2, markersize=4, label=name)
    for number, (name, found) in enumerate(points.items(), start=len(lines)):
        rates = [100 * rate for rate in found.values()]
        mark, color = MARKS[number % len(MARKS)], COLORS[number % len(COLORS)]
        axes.plot(list(found), rates, mark, color=color, markersize=8, label=name, zorder=3)
    axes.axhline(100 * chance, color=MUTED, linewidth=1, linestyle=":", label="random order")
    ticks = _apart({bound for line in lines.values() for bound in line})
    axes.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
    axes.minorticks_off()
    axes.set_ylim(0, 103)
    axes.set_xlabel("bound [gray levels]", color=INK)
    axes.set_ylabel("share [%]", color=INK)
    axes.legend(frameon=False, fontsize=9)
    return drawn


def _apart(bounds: Iterable[int]) -> list[int]:
    """Return those bounds, rising, whose labels do not touch on the axis of bounds."""
    found: list[int] = []
    for bound in sorted(bounds):
        if not found or math.asinh(bound / _LINEAR) - math.asinh(found[-1] / _LINEAR) > _GAP:
            found.append(bound)
    return found


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
