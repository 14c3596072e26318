"""The picture of cheap training: robust mAP against the cost of a weight update."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from torchreid_adv.report.style import INK, MUTED, SERIES, tidy

Point = tuple[float, float]  # cost in plain steps, robust mAP in [0, 1]
# of a name from its point, in points: above, below, further below, further above
_OFFSETS = ((6, 4), (6, -11), (6, -21), (6, 14), (6, -31))


def front(points: Mapping[str, Point]) -> list[str]:
    """Return the labels that nothing is both cheaper and more robust than, from the cheapest on."""
    ordered = sorted(points, key=lambda label: (points[label][0], -points[label][1]))
    best, labels = float("-inf"), []
    for label in ordered:
        if points[label][1] > best:
            best = points[label][1]
            labels.append(label)
    return labels


def frontier_figure(
    groups: Mapping[str, Mapping[str, Sequence[Point]]], goals: Sequence[Point] = ()
) -> Figure:
    """Draw robust mAP against cost, and the line that no method is beyond.

    Args:
        groups: start -> method -> one point per run; each start has a color.
        goals: cost and robust mAP that are asked for, drawn as corners.
    """
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.subplots()
    tidy(axes)
    everything: dict[str, Point] = {}
    for number, (start, methods) in enumerate(groups.items()):
        means = {method: _mean(points) for method, points in methods.items()}
        everything |= {f"{start}/{method}": point for method, point in means.items()}
        _draw(axes, means, SERIES[number % len(SERIES)], start)
    line = [everything[label] for label in front(everything)]
    axes.step(
        [cost for cost, _ in line], [100 * mAP for _, mAP in line],
        where="post", color=MUTED, linewidth=1.2, zorder=1, label="best at this cost",
    )  # fmt: skip
    for cost, mAP in goals:
        axes.plot([0, cost, cost], [100 * mAP, 100 * mAP, 0], "--", color=MUTED, linewidth=1)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("cost of a weight update [plain steps]", color=INK)
    axes.set_ylabel("mAP under PGD-20 through the network itself [%]", color=INK)
    figure.draw_without_rendering()  # sizes of names depend on the layout
    _label(axes, everything)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


def _draw(axes: Axes, means: Mapping[str, Point], color: str, label: str) -> None:
    costs, values = zip(*((cost, 100 * mAP) for cost, mAP in means.values()), strict=True)
    axes.plot(costs, values, "o", color=color, markersize=5.5, label=label, zorder=3)


def _label(axes: Axes, points: Mapping[str, Point]) -> None:
    """Write each name next to its point, at the first place where no other name is."""
    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "color": INK}
    taken: list[Bbox] = []
    for name, (cost, mAP) in sorted(points.items(), key=lambda item: item[1]):
        for offset in _OFFSETS:
            text = axes.annotate(name.partition("/")[2], (cost, 100 * mAP), xytext=offset, **look)
            box = text.get_window_extent()
            if offset == _OFFSETS[-1] or not any(box.overlaps(other) for other in taken):
                break
            text.remove()
        taken.append(box)


def _mean(points: Sequence[Point]) -> Point:
    costs, values = zip(*points, strict=True)
    return statistics.fmean(costs), statistics.fmean(values)
