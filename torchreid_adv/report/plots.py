"""Figures of the joint defense's paper that are plots: training curves, and borders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from torchreid_adv.report.charts import ATTACKED, CLEAN, INK, tidy
from torchreid_adv.report.comparison import Finding
from torchreid_adv.report.curves import COLORS, MARKS

Points = Sequence[Mapping[str, float]]


def training_figure(curves: Mapping[str, Points]) -> Figure:
    """Draw loss above error, training and held out, a column per network (figure 5).

    Args:
        curves: label -> points of ``curves.json``.
    """
    figure = Figure(figsize=(3.4 * len(curves), 4.4), layout="constrained")
    grid = figure.subplots(2, len(curves), sharex="col", sharey="row", squeeze=False)
    for column, (label, points) in enumerate(curves.items()):
        epochs = [point["epoch"] for point in points]
        for row, (name, factor) in enumerate((("loss", 1), ("error", 100))):
            axes = grid[row][column]
            tidy(axes)
            for kind, color, style in (("train", CLEAN, "-"), ("held_out", ATTACKED, "--")):
                values = [factor * point[f"{kind}_{name}"] for point in points]
                axes.plot(epochs, values, style, color=color, linewidth=1.8, label=_words(kind))
            axes.set_ylim(bottom=0)
        grid[0][column].set_title(label, fontsize=11, color=INK)
        grid[1][column].set_xlabel("epoch", color=INK)
    grid[0][0].set_ylabel("loss", color=INK)
    grid[1][0].set_ylabel("error [%]", color=INK)
    grid[0][0].legend(frameon=False, fontsize=9)
    return figure


def _words(kind: str) -> str:
    return "training images" if kind == "train" else "held-out images"


def border_figure(findings: Sequence[Finding], target: str) -> Figure:
    """Draw Rank-1 against the border, clean at the left, attacked at the right (figure 9).

    Args:
        findings: with ``border``, ``tested`` and ``attack``.
        target: data set.
    """
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    panels = figure.subplots(1, 2)
    own = [finding for finding in findings if finding.where["target"] == target]
    labels = list(dict.fromkeys(finding.where["tested"] for finding in own))
    for axes, attacked in zip(panels, (False, True), strict=True):
        tidy(axes)
        for number, label in enumerate(labels):
            points = sorted(
                (finding.where["border"], 100 * finding.measures["rank1"])
                for finding in own
                if finding.where["tested"] == label and bool(finding.where["attack"]) is attacked
            )
            borders, rates = zip(*points, strict=True)
            style = f"{MARKS[number % len(MARKS)]}-"
            axes.plot(borders, rates, style, color=COLORS[number % len(COLORS)], label=label)
        title = "queries attacked by SMA" if attacked else "clean"
        axes.set_title(title, fontsize=10, color=INK)
        axes.set_xlabel("border [pixels]", color=INK)
    panels[0].set_ylabel("Rank-1 [%]", color=INK)
    panels[0].legend(frameon=False, fontsize=9)
    return figure
