"""Curves: matches by rank, histograms of distances, mAP by bound or by answers; a sweep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.page import PageFigure
from torchreid_adv.report.style import ATTACKED, CARD, CLEAN, INK, MUTED, SERIES, tidy
from torchreid_adv.report.survey import Survey

RANKS = 20
SIZE = (4.4, 3.2)  # inches: what a phone shows at about printed size


def curve_is_whole(results: dict[str, Any], survey: Survey) -> bool:
    """Say whether the surveyed queries give the match curve of ``results``, rank by rank.

    They do not when they are a sample, or when the evaluation uses another protocol.
    """
    pairs = ((results["clean"], survey.before), (results["adversarial"], survey.after))
    return survey.complete and all(
        abs(rate - _matched(ranking.first, int(rank))) < 0.005
        for measures, ranking in pairs
        for rank, rate in measures["cmc"].items()
    )


def cmc_figure(results: dict[str, Any], survey: Survey) -> Figure:
    """Draw the CMC curves before and after the attack.

    The marked ranks are those of ``results``. The line is the curve of the surveyed queries if
    that agrees with the results; otherwise it joins the marks.
    """
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    tidy(axes)
    whole = curve_is_whole(results, survey)
    lines = (("clean", CLEAN, survey.before), ("adversarial", ATTACKED, survey.after))
    for label, color, ranking in lines:
        marks = {int(rank): 100 * rate for rank, rate in results[label]["cmc"].items()}
        ranks, rates = list(marks), list(marks.values())
        if whole:
            every = range(1, RANKS + 1)
            curve = [100 * _matched(ranking.first, rank) for rank in every]
            axes.plot(every, curve, color=color, linewidth=2)
        axes.plot(ranks, rates, "o" if whole else "o-", color=color, label=label)
    axes.set(xlim=(0.5, RANKS + 0.5), ylim=(-3, 103), xticks=[1, 5, 10, 15, 20])
    axes.legend(frameon=False)
    axes.set_xlabel("rank", color=INK)
    axes.set_ylabel("queries matched [%]", color=INK)
    return figure


def _matched(first: Tensor, rank: int) -> float:
    """Return the share of the queries with a positive that are matched by a rank."""
    ranks = first[first >= 0]
    return float((ranks < rank).double().mean()) if len(ranks) else 0.0


def distances_figure(survey: Survey, name: str) -> Figure:
    """Draw how far queries are from their positives and from their nearest negative.

    Args:
        survey: the surveyed queries.
        name: of the distance, for the axis.
    """
    figure = Figure(figsize=SIZE, layout="constrained")
    panels = figure.subplots(2, 1, sharex=True)
    rankings = (survey.before, survey.after)
    values = [(r.positives.numpy(), _finite(r.rival_distance)) for r in rankings]
    bins = _bins(np.concatenate([part for pair in values for part in pair]))
    for axes, label, color, (positives, rivals) in zip(
        panels, ("clean", "adversarial"), (CLEAN, ATTACKED), values, strict=True
    ):
        tidy(axes)
        _histogram(axes, positives, bins, color)
        if len(rivals):
            axes.hist(
                rivals,
                bins,
                weights=np.full(len(rivals), 1 / len(rivals)),
                histtype="step",
                color=INK,
                linewidth=1.2,
                label="nearest wrong",
            )
        axes.set_yticks([])
        title = f"{label}, mean {positives.mean():.3f}" if len(positives) else label
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=color)
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.01, 0.96), ncols=2, frameon=False, fontsize=8
        )
    panels[1].set_xlabel(name, color=INK, parse_math=False)
    return figure


def _histogram(axes: Axes, positives: np.ndarray, bins: list[float], color: str) -> None:
    if not len(positives):
        return
    mean = float(positives.mean())
    weights = np.full(len(positives), 1 / len(positives))
    axes.hist(
        positives,
        bins,
        weights=weights,
        color=color,
        alpha=0.75,
        label="correct matches",
    )
    axes.axvline(mean, color=color, linewidth=1.5, linestyle="--")


def _bins(values: np.ndarray) -> list[float]:
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    return np.linspace(low, high if high > low else low + 1, 49).tolist()


def _finite(values: Tensor) -> np.ndarray:
    return values[~values.isinf()].numpy()


MARKS = ("o", "s", "^", "D", "v", "P", "X", "h")
_LINEAR = 2.0  # gray levels up to which the axis of bounds is about linear, logarithmic beyond
_GAP = 0.25  # between labels there


def eps_figure(cells: Sequence[Cell], target: str) -> Figure:
    """Draw the mAP of one data set against eps, a line per attack, metric and tested model.

    Args:
        cells: of a sweep; each line starts at its model's clean mAP.
        target: data set.
    """
    lines = _lines(cells, target)
    drawn = Figure(figsize=(5.2, 3.2 + 0.2 * len(lines)), layout="constrained")
    axes = drawn.subplots()
    tidy(axes)
    for number, (name, points) in enumerate(lines.items()):
        bounds, means = zip(*sorted(points.items()), strict=True)
        color, mark = SERIES[number % len(SERIES)], MARKS[number % len(MARKS)]
        axes.plot(bounds, [100 * mean for mean in means], f"{mark}-", color=color, label=name)
    axes.set_xlabel("eps [gray levels of 255]", color=INK)
    axes.set_ylabel("mAP [%]", color=INK)
    axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    drawn.legend(loc="outside lower left", frameon=False, fontsize=10)
    return drawn


def queries_figure(curve: dict[str, Any], stored: float) -> Figure:
    """Draw mAP against the answers that an attack asked for each image.

    Args:
        curve: ``query_curve`` of a data set's results.
        stored: mAP of the stored images, in [0, 1].
    """
    drawn = Figure(figsize=SIZE, layout="constrained")
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
        markerfacecolor=CARD,
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
    """Draw how results fall as the bound grows from 0 to unlimited.

    Args:
        lines: name -> bound in gray levels -> result in [0, 1].
        points: the same for single bounds, drawn as marks without a line.
        chance: result of a random order.
    """
    drawn = Figure(figsize=(5.6, 3.5), layout="constrained")
    axes = drawn.subplots()
    tidy(axes)
    axes.set_xscale("asinh", linear_width=_LINEAR)
    for number, (name, line) in enumerate(lines.items()):
        bounds = sorted(line)
        rates = [100 * line[bound] for bound in bounds]
        axes.plot(bounds, rates, "o-", color=SERIES[number], linewidth=2, markersize=4, label=name)
    for number, (name, rate_at_bound) in enumerate(points.items(), start=len(lines)):
        rates = [100 * rate for rate in rate_at_bound.values()]
        mark, color = MARKS[number % len(MARKS)], SERIES[number % len(SERIES)]
        axes.plot(list(rate_at_bound), rates, mark, color=color, markersize=8, label=name, zorder=3)
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
    """Return the bounds, rising, whose labels do not overlap on the axis of bounds."""
    labeled: list[int] = []
    for bound in sorted(bounds):
        if not labeled or math.asinh(bound / _LINEAR) - math.asinh(labeled[-1] / _LINEAR) > _GAP:
            labeled.append(bound)
    return labeled


def _lines(cells: Sequence[Cell], target: str) -> dict[str, dict[float, float]]:
    target_cells = [cell for cell in cells if cell.target == target]
    several = len({(cell.attacked, cell.tested) for cell in target_cells}) > 1
    lines: dict[str, dict[float, float]] = {}
    for cell in target_cells:
        line = lines.setdefault(_line_name(cell, several), {0.0: float(cell.clean["mAP"])})
        line[cell.eps] = float(cell.adversarial["mAP"])
    return lines


def _line_name(cell: Cell, several: bool) -> str:
    """Return the name of a line: attack, metrics and, if there are several, the models."""
    name = cell.attack + (f", {cell.metric}" if cell.metric else "")
    name += f" / {cell.ranked}" if cell.ranked else ""
    if not several:
        return name
    return f"{name}, {cell.attacked}" + (
        f" on {cell.tested}" if cell.attacked != cell.tested else ""
    )


def sweep_figures(cells: Sequence[Cell]) -> dict[str, PageFigure]:
    """Return the curve of each data set of a sweep: ``sweep_NAME`` -> figure."""
    return {
        f"sweep_{target}": PageFigure(
            eps_figure(cells, target),
            f"mAP on {target} against the bound of the attack",
            f"mAP on {target} against eps; each line starts at the clean mAP.",
            wide=True,
        )
        for target in dict.fromkeys(cell.target for cell in cells)
    }
