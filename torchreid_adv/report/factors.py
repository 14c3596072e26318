"""Curves of a study's readings against a factor (figure 8 of the video paper)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchreid_adv.report.charts import INK, tidy
from torchreid_adv.report.curves import COLORS, MARKS
from torchreid_adv.report.readings import Reading

Panels = dict[str, dict[str, list[Reading]]]  # factor -> line -> its readings


def factors_figure(readings: Sequence[Reading]) -> Figure:
    """Draw one panel per factor; a line per measure and data set, bars of the spread over seeds.

    Args:
        readings: tables are called ``<factor>: <measure>``, rows are values of the factor.
    """
    panels: Panels = {}
    for reading in readings:
        factor, _, measure = reading.table.rpartition(": ")
        lines = panels.setdefault(factor, {})
        lines.setdefault(f"{measure}, {reading.column}", []).append(reading)
    figure = Figure(figsize=(3.6 * len(panels), 3.8), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (factor, lines) in zip(grid, panels.items(), strict=True):
        _draw(axes, lines)
        axes.set_xlabel(factor, color=INK)
    grid[0].set_ylabel("percent", color=INK)
    grid[0].set_ylim(bottom=0)
    labels = grid[0].get_legend_handles_labels()
    figure.legend(*labels, loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return figure


def _draw(axes: Axes, lines: dict[str, list[Reading]]) -> None:
    tidy(axes)
    axes.set_xscale("log")
    for number, (name, readings) in enumerate(lines.items()):
        values = sorted({float(reading.row) for reading in readings})
        points = [[100 * r.value for r in readings if float(r.row) == value] for value in values]
        axes.errorbar(
            values,
            [statistics.fmean(point) for point in points],
            yerr=[statistics.stdev(point) if len(point) > 1 else 0.0 for point in points],
            fmt=f"{MARKS[number % len(MARKS)]}-",
            color=COLORS[number % len(COLORS)],
            capsize=3,
            label=name,
        )
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
