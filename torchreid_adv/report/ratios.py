"""mAP ratios of tested models (the form of Bai et al., figure 3)."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from torchreid_adv.report.beside import label
from torchreid_adv.report.charts import GRID, INK, MUTED
from torchreid_adv.report.comparison import Comparison
from torchreid_adv.report.curves import COLORS, MARKS

_STEP = 0.11  # between the models of a row


def ratio_figure(comparison: Comparison, target: str) -> Figure:
    """Draw adversarial over clean mAP: a row of marks for each attack, one mark per tested model.

    Args:
        comparison: its measure is ``map_ratio``; ours are filled marks, the paper's hollow ones.
        target: our data set.
    """
    table, entries = comparison.table, comparison.of(target)
    rows = list(dict.fromkeys(label(entry.where, table.rows) for entry in entries))
    tested = list(dict.fromkeys(label(entry.where, table.columns) for entry in entries))
    drawn = Figure(figsize=(1.6 + 0.62 * len(rows), 3.8), layout="constrained")
    axes = drawn.subplots()
    for number, name in enumerate(tested):
        own = [entry for entry in entries if label(entry.where, table.columns) == name]
        shift = _STEP * (number - (len(tested) - 1) / 2)
        places = [rows.index(label(entry.where, table.rows)) + shift for entry in own]
        ours = [entry.ours.measures["map_ratio"] if entry.ours else math.nan for entry in own]
        paper = [entry.paper.get("map_ratio", math.nan) for entry in own]
        color, mark = COLORS[number % len(COLORS)], MARKS[number % len(MARKS)]
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
