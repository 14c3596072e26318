"""Pictures of what a cost buys, such as robust mAP against the cost of a weight update."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from torchreid_adv.report.style import INK, MUTED, SERIES, tidy

Point = tuple[float, float]  # cost, value in [0, 1], such as plain steps and robust mAP
# of a name from its point, in points: above, below, further below, further above
_OFFSETS = ((6, 4), (6, -11), (6, -21), (6, 14), (6, -31))


@dataclass(frozen=True)
class FrontierAxes:
    """What a frontier shows.

    Args:
        cost: label of the horizontal axis.
        value: label of the vertical axis, in percent or points.
        lower: the lower value is the better one.
        all_names: name every point; False = only those on the frontier.
    """

    cost: str = "cost of a weight update [plain steps]"
    value: str = "mAP under PGD-20 through the network itself [%]"
    lower: bool = False
    all_names: bool = True


TRAINING = FrontierAxes()


def front(points: Mapping[str, Point]) -> list[str]:
    """Return the labels that nothing is both cheaper and larger than, from the cheapest on."""
    ordered = sorted(points, key=lambda label: (points[label][0], -points[label][1]))
    best, labels = float("-inf"), []
    for label in ordered:
        if points[label][1] > best:
            best = points[label][1]
            labels.append(label)
    return labels


def frontier_figure(
    groups: Mapping[str, Mapping[str, Sequence[Point]]],
    goals: Sequence[Point] = (),
    labels: FrontierAxes = TRAINING,
) -> Figure:
    """Draw values against cost, and the line that no method is beyond.

    Args:
        groups: start -> method -> one point per run; each start has a color.
        goals: cost and value that are asked for, drawn as corners.
        labels: of the axes.
    """
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.subplots()
    tidy(axes)
    everything: dict[str, Point] = {}
    for number, (start, methods) in enumerate(groups.items()):
        means = {method: _mean(points) for method, points in methods.items()}
        everything |= {f"{start}/{method}": point for method, point in means.items()}
        _draw(axes, means, SERIES[number % len(SERIES)], start)
    sign = -1 if labels.lower else 1
    best = front({label: (cost, sign * value) for label, (cost, value) in everything.items()})
    line = [everything[label] for label in best]
    axes.step(
        [cost for cost, _ in line], [100 * value for _, value in line],
        where="post", color=MUTED, linewidth=1.2, zorder=1, label="best at this cost",
    )  # fmt: skip
    for cost, value in goals:
        axes.plot([0, cost, cost], [100 * value, 100 * value, 0], "--", color=MUTED, linewidth=1)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(labels.cost, color=INK)
    axes.set_ylabel(labels.value, color=INK)
    figure.draw_without_rendering()  # sizes of names depend on the layout
    named = everything if labels.all_names else {label: everything[label] for label in best}
    _label(axes, named)
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
