"""Figures of papers and studies: mAP ratios, bars, curves, borders, factors, effects."""

from __future__ import annotations

import itertools
import math
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from torchreid_adv.experiments.claims import Reading
from torchreid_adv.experiments.comparison import Comparison, OurCell, cell_label
from torchreid_adv.experiments.verdicts import HOLDS, NONE, OPEN, OPPOSITE, Verdict
from torchreid_adv.report.curves import MARKS
from torchreid_adv.report.style import (
    ATTACKED,
    CARD,
    CLEAN,
    GRID,
    INK,
    MUTED,
    RIGHT,
    SERIES,
    WRONG,
    tidy,
)

_STEP = 0.11  # between the models of a row


def ratio_figure(comparison: Comparison, target: str) -> Figure:
    """Draw adversarial over clean mAP: a group of marks per attack, one mark per tested model.

    Args:
        comparison: its measure is ``map_ratio``; ours are filled marks, the paper's hollow ones.
        target: our data set.
    """
    table, entries = comparison.table, comparison.of(target)
    rows = list(dict.fromkeys(cell_label(entry.where, table.rows) for entry in entries))
    tested = list(dict.fromkeys(cell_label(entry.where, table.columns) for entry in entries))
    drawn = Figure(figsize=(1.6 + 0.62 * len(rows), 3.8), layout="constrained")
    axes = drawn.subplots()
    for number, name in enumerate(tested):
        tested_entries = [
            entry for entry in entries if cell_label(entry.where, table.columns) == name
        ]
        shift = _STEP * (number - (len(tested) - 1) / 2)
        places = [
            rows.index(cell_label(entry.where, table.rows)) + shift for entry in tested_entries
        ]
        ours = [
            entry.ours.measures["map_ratio"] if entry.ours else math.nan for entry in tested_entries
        ]
        paper = [entry.paper.get("map_ratio", math.nan) for entry in tested_entries]
        color, mark = SERIES[number % len(SERIES)], MARKS[number % len(MARKS)]
        axes.plot(places, ours, mark, color=color, markersize=4.5, label=name)
        axes.plot(places, paper, mark, color=color, markersize=4.5, fillstyle="none")
    axes.set_xticks(range(len(rows)), rows, rotation=40, ha="right", color=INK, fontsize=8)
    axes.set_ylabel("adversarial over clean mAP", color=INK)
    axes.set_ylim(bottom=-0.04)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=MUTED)
    axes.legend(
        frameon=False, fontsize=8, ncols=len(tested), loc="lower center", bbox_to_anchor=(0.5, 1)
    )
    axes.set_title(
        f"{target}: filled = ours, hollow = the paper's", fontsize=9, color=MUTED, pad=24
    )
    return drawn


NAMES = {"rank1": "Rank-1", "mAP": "mAP"}


def bars_figure(comparison: Comparison, target: str) -> Figure:
    """Draw Rank-1 and mAP of each model that we have, in percent.

    Args:
        comparison: its rows are models; cells that only the paper has are left out.
        target: our data set.
    """
    entries = [entry for entry in comparison.of(target) if entry.ours]
    figure = Figure(figsize=(1.8 + 0.7 * len(entries), 3.4), layout="constrained")
    axes = figure.subplots()
    tidy(axes)
    for number, (measure, name) in enumerate(NAMES.items()):
        heights = [100 * entry.ours.measures[measure] for entry in entries if entry.ours]
        places = [place + 0.4 * number - 0.2 for place in range(len(entries))]
        bars = axes.bar(places, heights, 0.38, color=SERIES[number], label=name)
        axes.bar_label(bars, fmt="%.1f", fontsize=7, color=INK)
    labels = [str(entry.where["tested"]) for entry in entries]
    axes.set_xticks(range(len(entries)), labels, rotation=30, ha="right", color=INK, fontsize=8)
    axes.set_ylabel(f"{target}, clean [%]", color=INK)
    axes.set_ylim(0, 108)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure


Points = Sequence[Mapping[str, float]]


def training_figure(curves: Mapping[str, Points]) -> Figure:
    """Draw loss above error, training and held out, a column per network (figure 5).

    Args:
        curves: label -> points of ``curves.json``.
    """
    figure = Figure(figsize=(3.4 * len(curves), 4.4), layout="constrained")
    grid = figure.subplots(2, len(curves), sharex="col", sharey="row", squeeze=False)
    for column, (title, points) in enumerate(curves.items()):
        epochs = [point["epoch"] for point in points]
        for row, (name, factor) in enumerate((("loss", 1), ("error", 100))):
            axes = grid[row][column]
            tidy(axes)
            for kind, color, style in (("train", CLEAN, "-"), ("held_out", ATTACKED, "--")):
                values = [factor * point[f"{kind}_{name}"] for point in points]
                axes.plot(epochs, values, style, color=color, linewidth=1.8, label=_words(kind))
            axes.set_ylim(bottom=0)
        grid[0][column].set_title(title, fontsize=11, color=INK)
        grid[1][column].set_xlabel("epoch", color=INK)
    grid[0][0].set_ylabel("loss", color=INK)
    grid[1][0].set_ylabel("error [%]", color=INK)
    grid[0][0].legend(frameon=False, fontsize=9)
    return figure


def _words(kind: str) -> str:
    return "training images" if kind == "train" else "held-out images"


def border_figure(findings: Sequence[OurCell], target: str) -> Figure:
    """Draw Rank-1 against the border, clean at the left, attacked at the right (figure 9).

    Args:
        findings: with ``border``, ``tested`` and ``attack``.
        target: data set.
    """
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    panels = figure.subplots(1, 2)
    target_findings = [finding for finding in findings if finding.where["target"] == target]
    labels = list(dict.fromkeys(finding.where["tested"] for finding in target_findings))
    for axes, attacked in zip(panels, (False, True), strict=True):
        tidy(axes)
        for number, network in enumerate(labels):
            points = sorted(
                (finding.where["border"], 100 * finding.measures["rank1"])
                for finding in target_findings
                if finding.where["tested"] == network and bool(finding.where["attack"]) is attacked
            )
            borders, rates = zip(*points, strict=True)
            style = f"{MARKS[number % len(MARKS)]}-"
            axes.plot(borders, rates, style, color=SERIES[number % len(SERIES)], label=network)
        title = "queries attacked by SMA" if attacked else "clean"
        axes.set_title(title, fontsize=10, color=INK)
        axes.set_xlabel("border [pixels]", color=INK)
    panels[0].set_ylabel("Rank-1 [%]", color=INK)
    panels[0].legend(frameon=False, fontsize=9)
    return figure


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
            color=SERIES[number % len(SERIES)],
            capsize=3,
            label=name,
        )
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()


_INKS = {HOLDS: RIGHT, OPPOSITE: WRONG, NONE: CLEAN, OPEN: MUTED}  # of the verdicts
_WIDTH = 52  # characters of a claim per line
_LINE, _BAR, _GAP = 0.17, 0.17, 0.13  # heights in inches: a line of a claim, a bar, below it


def effects_figure(decided: Sequence[Verdict]) -> Figure:
    """Draw each claim's effect with its interval, the paper's effect and the margin, in points.

    Each claim is written over its effect, so that the figure is narrow enough for a phone.

    Args:
        decided: a study's verdicts, one row each.
    """
    claims = [textwrap.wrap(verdict.claim.sentence, _WIDTH) for verdict in decided]
    bottoms = list(itertools.accumulate(_LINE * len(lines) + _BAR + _GAP for lines in claims))
    figure = Figure(figsize=(4.8, 1.25 + bottoms[-1]), layout="constrained")
    axes = figure.subplots()
    tidy(axes)
    axes.axvline(0, color=MUTED, linewidth=1, zorder=1)
    for lines, verdict, bottom in zip(claims, decided, bottoms, strict=True):
        place = bottom - _GAP - _BAR / 2
        _draw_effect(axes, place, verdict)
        _name_effect(axes, place - _BAR / 2 - _LINE * len(lines), lines, verdict)
    axes.set_ylim(bottoms[-1], 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("effect [points], positive as claimed", color=INK, fontsize=9)
    _explain(figure, paper=any(verdict.claim.paper for verdict in decided))
    return figure


def _name_effect(axes: Axes, top: float, lines: Sequence[str], verdict: Verdict) -> None:
    """Write the lines of a claim above its effect, and the verdict at the right of the first."""
    look: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "fontsize": 9}
    look |= {"va": "center", "zorder": 5}
    look["bbox"] = {"facecolor": CARD, "edgecolor": "none", "pad": 0.5}  # over the line of 0
    for number, line in enumerate(lines):
        axes.text(0, top + _LINE * (number + 0.5), line, color=INK, **look)
    axes.text(1, top + _LINE / 2, verdict.word, color=_INKS[verdict.word], ha="right", **look)


def _draw_effect(axes: Axes, place: float, verdict: Verdict) -> None:
    claim, effect, color = verdict.claim, verdict.effect, _INKS[verdict.word]
    margin = 100 * claim.margin
    axes.barh(place, 2 * margin, left=-margin, height=_BAR, color=GRID, zorder=0)
    if claim.paper:
        axes.plot(100 * claim.paper.effect, place, "D", color=ATTACKED, fillstyle="none", zorder=2)
    low, high = (100 * end for end in effect.interval)
    if math.isfinite(low):
        axes.plot([low, high], [place, place], "|-", color=color, linewidth=1.8, zorder=3)
    if math.isfinite(effect.mean):
        axes.plot(100 * effect.mean, place, "o", color=color, markersize=5.5, zorder=4)


def _explain(figure: Figure, *, paper: bool) -> None:
    effect = Line2D([], [], color=INK, marker="o", markersize=5.5, label="here, 95 % interval")
    printed = Line2D([], [], color=ATTACKED, marker="D", ls="", fillstyle="none", label="the paper")
    marks = [effect, *([printed] if paper else []), Patch(color=GRID, label="margin")]
    figure.legend(handles=marks, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
