"""Clean accuracy of models beside each other (the form of Gong et al., figure 6)."""

from __future__ import annotations

from matplotlib.figure import Figure

from torchreid_adv.report.charts import INK, tidy
from torchreid_adv.report.comparison import Comparison
from torchreid_adv.report.curves import COLORS

NAMES = {"rank1": "Rank-1", "mAP": "mAP"}


def bars_figure(comparison: Comparison, target: str) -> Figure:
    """Draw Rank-1 and mAP of each model that we have, in percent.

    Args:
        comparison: its rows are models; what the paper alone has is left out.
        target: our data set.
    """
    entries = [entry for entry in comparison.of(target) if entry.ours]
    figure = Figure(figsize=(1.8 + 0.7 * len(entries), 3.4), layout="constrained")
    axes = figure.subplots()
    tidy(axes)
    for number, (measure, name) in enumerate(NAMES.items()):
        heights = [100 * entry.ours.measures[measure] for entry in entries if entry.ours]
        places = [place + 0.4 * number - 0.2 for place in range(len(entries))]
        bars = axes.bar(places, heights, 0.38, color=COLORS[number], label=name)
        axes.bar_label(bars, fmt="%.1f", fontsize=7, color=INK)
    labels = [str(entry.where["tested"]) for entry in entries]
    axes.set_xticks(range(len(entries)), labels, rotation=30, ha="right", color=INK, fontsize=8)
    axes.set_ylabel(f"{target}, clean [%]", color=INK)
    axes.set_ylim(0, 108)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure
