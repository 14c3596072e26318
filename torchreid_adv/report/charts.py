"""Curves and histograms, drawn without pyplot and its global state."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from torchreid_adv.report.survey import Survey

CLEAN, ATTACKED, RIGHT, WRONG = "#0e7490", "#7c3aed", "#15803d", "#dc2626"
INK, MUTED, GRID = "#0f172a", "#64748b", "#e2e8f0"
RANKS = 20
DPI = 200


def to_png(figure: Figure) -> bytes:
    """Render a figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": 4}
    )
    return buffer.getvalue()


def curve_is_whole(results: dict[str, Any], survey: Survey) -> bool:
    """Say whether the surveyed queries give the match curve of ``results``, rank by rank.

    They do not when they are a sample, or when the evaluation's protocol is another one.
    """
    pairs = ((results["clean"], survey.before), (results["adversarial"], survey.after))
    return survey.complete and all(
        abs(rate - _matched(ranking.first, int(rank))) < 0.005
        for measures, ranking in pairs
        for rank, rate in measures["cmc"].items()
    )


def cmc_figure(results: dict[str, Any], survey: Survey) -> Figure:
    """Draw the CMC curves before and after the attack.

    The marked ranks are those of ``results``. The line is the curve of the surveyed queries if it
    is that of the results, else it joins the marks.
    """
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
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
    found = first[first >= 0]
    return float((found < rank).double().mean()) if len(found) else 0.0


def distances_figure(survey: Survey, name: str) -> Figure:
    """Draw how far queries are from their positives and from their nearest negative.

    Args:
        survey: the queries looked at.
        name: what the distance is called, for the axis.
    """
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
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
                label="nearest wrong match",
            )
        axes.set_yticks([])
        axes.set_title(label, loc="left", fontsize=10, fontweight="bold", color=color)
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
        label=f"true matches, mean {mean:.3f}",
    )
    axes.axvline(mean, color=color, linewidth=1.5, linestyle="--")


def _bins(values: np.ndarray) -> list[float]:
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    return np.linspace(low, high if high > low else low + 1, 49).tolist()


def _finite(values: Tensor) -> np.ndarray:
    return values[~values.isinf()].numpy()


def tidy(axes: Axes) -> None:
    """Take what is not data off the axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=9)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
