"""The figures of a card: measures with intervals, kinds and severities, occlusion, people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from torchreid_adv.corruptions import FAMILIES
from torchreid_adv.experiments.card.budgets import CardVersion
from torchreid_adv.experiments.card.content import label_of, version_in
from torchreid_adv.experiments.card.measures import Measure, measures_of
from torchreid_adv.experiments.card.numbers import CONDITIONS, floats, main_place
from torchreid_adv.experiments.card.people import People
from torchreid_adv.registry import CORRUPTIONS
from torchreid_adv.report.style import ATTACKED, CLEAN, INK, MUTED, SERIES, tidy
from torchreid_adv.standard.scores import Floats

Content = Mapping[str, Any]
_MARKS = "osD^vPX*"
_COLORS = dict(zip(CONDITIONS, (SERIES[0], SERIES[4], SERIES[5], SERIES[1]), strict=True))
_DARK = 0.55  # share of a cell's color from which on text on it is light
_SMALL = 8


def strip_figure(cards: Sequence[Content]) -> Figure:
    """Draw every measure of some cards on one axis, with its interval over identities."""
    figure = Figure(figsize=(7.2, 3.6 + 0.5 * (len(cards) - 1)), layout="constrained")
    draw_strip(figure.subplots(), cards)
    return figure


def draw_strip(axes: Axes, cards: Sequence[Content]) -> None:
    """Draw every measure of some cards on axes."""
    tidy(axes)
    axes.grid(axis="x", linewidth=0.8, alpha=0.4)
    axes.grid(axis="y", visible=False)
    all_measures = [measures_of(card["numbers"]) for card in cards]
    names = [measure.name for measure in all_measures[0]]
    for place, (card, measures) in enumerate(zip(cards, all_measures, strict=True)):
        shift = 0.6 * ((place + 0.5) / len(cards) - 0.5)
        _dots(axes, measures, names, shift, place, label_of(card) if len(cards) > 1 else "")
    axes.set(xlim=(-1, 101), yticks=range(len(names)))
    axes.set_yticklabels(names, color=INK)
    axes.invert_yaxis()
    axes.set_xlabel("mAP [%], 95 % interval over identities", color=INK)
    if len(cards) > 1:
        axes.legend(
            frameon=False,
            fontsize=_SMALL,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=len(cards),
        )


def _dots(
    axes: Axes,
    measures: Sequence[Measure],
    names: Sequence[str],
    shift: float,
    place: int,
    label: str,
) -> None:
    for measure in measures:
        if measure.name not in names:
            continue
        y = names.index(measure.name) + shift
        color = SERIES[place % len(SERIES)] if label else _measure_color(measure)
        low, high = (100 * end for end in measure.interval)
        axes.plot([low, high], [y, y], color=color, linewidth=2, alpha=0.6)
        first = measure is measures[0]
        axes.plot(
            100 * measure.value,
            y,
            _MARKS[place % len(_MARKS)],
            color=color,
            markersize=6,
            label=label if first and label else None,
        )


def _measure_color(measure: Measure) -> str:
    return {"clean": CLEAN, "robust": ATTACKED}.get(measure.kind, SERIES[4])


def grid_figure(card: Content) -> Figure:
    """Draw mAP by kind and severity, families together."""
    version = version_in(card)
    figure = Figure(figsize=(4.4, 5.4), layout="constrained")
    draw_grid(figure.subplots(), card["numbers"]["grid"], version)
    return figure


def draw_grid(axes: Axes, grid: Content, version: CardVersion) -> None:
    """Draw mAP by kind and severity on axes: the more color, the more is left."""
    kinds = _by_family(list(grid["kinds"]))
    columns = [*map(str, version.severities), "mean"]
    for row, kind in enumerate(kinds):
        values = [grid["cells"][f"{kind} {severity}"] for severity in version.severities]
        for column, value in enumerate([*values, grid["kinds"][kind]["mAP"]]):
            box = (column - 0.47, row - 0.47)
            axes.add_patch(Rectangle(box, 0.94, 0.94, facecolor=CLEAN, alpha=_shade(value)))
            axes.text(
                column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=INK
            )
    families = [CORRUPTIONS.facts(kind)["family"] for kind in kinds]
    for row in range(1, len(kinds)):
        if families[row] != families[row - 1]:
            axes.axhline(row - 0.5, color=MUTED, linewidth=0.8)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(kinds) - 0.5, -0.5))
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    axes.tick_params(length=0, labelsize=_SMALL, colors=INK)
    axes.xaxis.tick_top()
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xlabel("severity; mAP [%]", color=INK, fontsize=9)


def _shade(value: float) -> float:
    return 0.04 + _DARK * value


def _by_family(kinds: Sequence[str]) -> list[str]:
    return sorted(kinds, key=lambda kind: FAMILIES.index(CORRUPTIONS.facts(kind)["family"]))


def occlusion_figure(cards: Sequence[Content]) -> Figure:
    """Draw mAP against the percentage that is hidden: by kind for one card, else the means."""
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    draw_occlusion(figure.subplots(), cards)
    return figure


def draw_occlusion(axes: Axes, cards: Sequence[Content]) -> None:
    """Draw mAP against the percentage that is hidden on axes."""
    tidy(axes)
    lines = _sweeps(cards)
    for place, (name, values) in enumerate(lines.items()):
        shown = {share: 100 * value for share, value in values.items()}
        axes.plot(
            list(shown),
            list(shown.values()),
            marker=_MARKS[place % len(_MARKS)],
            color=SERIES[place % len(SERIES)],
            label=name,
            markersize=5,
        )
    axes.set(ylim=(-3, 103))
    axes.set_xlabel("hidden [%]", color=INK)
    axes.set_ylabel("mAP of the queries [%]", color=INK)
    axes.legend(frameon=False, fontsize=_SMALL)


def _sweeps(cards: Sequence[Content]) -> dict[str, dict[int, float]]:
    """Return line -> percentage hidden -> mAP, from the clean images on."""
    if len(cards) == 1:
        numbers = cards[0]["numbers"]
        return {
            kind.removeprefix("occlusion_"): {0: numbers["clean"]["mAP"]}
            | {int(share): cell["mAP"] for share, cell in shares.items()}
            for kind, shares in numbers["occluded"]["sweep"].items()
        }
    return {label_of(card): _mean_sweep(card["numbers"]) for card in cards}


def _mean_sweep(numbers: Content) -> dict[int, float]:
    kinds = list(numbers["occluded"]["sweep"].values())
    return {0: numbers["clean"]["mAP"]} | {
        int(share): float(np.mean([shares[share]["mAP"] for shares in kinds])) for share in kinds[0]
    }


def people_means(card: Content) -> dict[str, Floats]:
    """Return the mean (I,) of each identity by condition, in the order of the identities."""
    queries = card["queries"]
    clean = floats(queries["clean"]["ap"])
    people = People(np.array(queries["pids"], np.int64), ~np.isnan(clean), 1)
    rows = {
        "clean": clean,
        "corrupted": np.mean([floats(row) for row in queries["draws"]], axis=0),
        "occluded": np.mean([floats(row) for row in queries["occluded"].values()], axis=0),
        "robust": floats(queries["robust"][main_place(queries["robust"])]["ap"]),
    }
    return {name: people.means(values) for name, values in rows.items()}


def people_figure(card: Content) -> Figure:
    """Draw the identities from the worst to the best, in each condition."""
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    draw_people(figure.subplots(), card)
    return figure


def draw_people(axes: Axes, card: Content) -> None:
    """Draw the identities from the worst to the best on axes."""
    tidy(axes)
    for name, values in people_means(card).items():
        shares = 100 * (np.arange(len(values)) + 0.5) / len(values)
        axes.plot(shares, 100 * np.sort(values), color=_COLORS[name], label=name)
    axes.axvline(10, color=MUTED, linewidth=1, linestyle=":")
    axes.set(xlim=(0, 100), ylim=(-3, 103))
    axes.set_xlabel("identities, worst first [%]", color=INK)
    axes.set_ylabel("mean average precision [%]", color=INK)
    axes.legend(frameon=False, fontsize=_SMALL)


def scatter_figure(card: Content) -> Figure:
    """Draw each identity's average precision under attack against that under corruptions."""
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    draw_scatter(figure.subplots(), card)
    return figure


def draw_scatter(axes: Axes, card: Content) -> None:
    """Draw each identity's average precision under attack against that under corruptions."""
    tidy(axes)
    means = people_means(card)
    axes.plot(
        100 * means["corrupted"],
        100 * means["robust"],
        "o",
        color=ATTACKED,
        alpha=0.55,
        markersize=5,
    )
    axes.set(xlim=(-3, 103), ylim=(-3, 103))
    axes.set_xlabel("corrupted [%]", color=INK)
    axes.set_ylabel("robust [%]", color=INK)


def card_figure(card: Content) -> Figure:
    """Draw a card as a single picture for a paper."""
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    grid = figure.add_gridspec(2, 4, height_ratios=(1.15, 1))
    draw_strip(figure.add_subplot(grid[0, :3]), [card])
    draw_grid(figure.add_subplot(grid[:, 3]), card["numbers"]["grid"], version_in(card))
    draw_occlusion(figure.add_subplot(grid[1, 0]), [card])
    draw_people(figure.add_subplot(grid[1, 1]), card)
    draw_scatter(figure.add_subplot(grid[1, 2]), card)
    figure.suptitle(
        f"{label_of(card)} on {card['data']['name']}: robustness card, {card['card']['name']}",
        color=INK,
        parse_math=False,
    )
    return figure


def comparison_figure(cards: Sequence[Content]) -> Figure:
    """Draw several cards as a picture for a paper: every measure, and occlusion."""
    figure = Figure(figsize=(11, 4.6 + 0.4 * len(cards)), layout="constrained")
    strip_axes, occlusion_axes = figure.subplots(1, 2, width_ratios=(1.7, 1))
    draw_strip(strip_axes, cards)
    draw_occlusion(occlusion_axes, cards)
    figure.suptitle(f"Robustness cards on {cards[0]['data']['name']}", color=INK, parse_math=False)
    return figure
