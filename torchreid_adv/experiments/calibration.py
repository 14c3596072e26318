"""Whether networks that replace real ones behave like real weights: ranges, and a verdict.

The ranges were measured on public weights with this package's attacks, at 5 gray levels.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from torchreid_adv.experiments.claims import Reading, spread
from torchreid_adv.report.page import PageFigure, Section
from torchreid_adv.report.style import GRID, INK, RIGHT, WRONG, tidy
from torchreid_adv.report.table import Cell, ResultTable, TableRow

CROPS = "real crops"
PEOPLE = "real crops and virtual_a"
GOAL = "required of a study"
SOURCES = (
    "Real weights: two public OSNet x0.25 (same architecture and training set, other weights); "
    "black-box rows and ensembles also use a stronger network of another architecture. Real "
    "crops: of 16 to 20 people. virtual_a: the synthetic people of this package; those networks "
    "were never trained on them."
)
MARGIN = 0.02  # added to a range on both sides

CLEAN = "mAP, clean"
GALLERY = {
    "ifgsm": "I-FGSM on the gallery: share of its clean mAP that the tested network keeps",
    "mifgsm": "MI-FGSM on the gallery: share of its clean mAP that the tested network keeps",
}
QUERY = "White-box attacks on the queries: share of its clean mAP that a network keeps"
INPUTS = "Share of its clean mAP that a network keeps when its input is changed"
WON = "Share of the mAP lost to a white-box attack on the queries that an unseen defense recovers"
SECOND = "-2"  # end of the label of an architecture's second network


@dataclass(frozen=True)
class Fact:
    """A measurement on real weights, and the function that computes it from a study.

    Args:
        question: the compared quantity.
        low: lowest measured value.
        high: highest measured value.
        source: images that it was measured on; :data:`SOURCES` names the networks.
        values: takes the readings of one seed and yields the value of each case.
    """

    question: str
    low: float
    high: float
    source: str
    values: Callable[[Sequence[Reading]], Iterator[float]]

    def holds(self, value: float) -> bool:
        """Whether a value is in the range, which is widened by the margin on both sides."""
        return self.low - MARGIN <= value <= self.high + MARGIN


@dataclass(frozen=True)
class Answer:
    """A fact compared with the networks of a study.

    Args:
        fact: the measurement on real weights.
        seeds: the mean over the cases of each seed.
        cases: of all seeds together.
    """

    fact: Fact
    seeds: tuple[float, ...]
    cases: int

    @property
    def value(self) -> float:
        """The mean over seeds, each the mean of its cases."""
        return statistics.fmean(self.seeds)

    @property
    def inside(self) -> bool:
        """Whether the mean is in the range of real weights."""
        return self.fact.holds(self.value)


def _kept(kind: str, attack: str) -> Callable[[Sequence[Reading]], Iterator[float]]:
    return lambda readings: iter(_single(readings, kind, attack).values())


def _momentum(kind: str) -> Callable[[Sequence[Reading]], Iterator[float]]:
    def values(readings: Sequence[Reading]) -> Iterator[float]:
        momentum = _single(readings, kind, "mifgsm")
        for place, value in _single(readings, kind, "ifgsm").items():
            if place in momentum:
                yield value - momentum[place]

    return values


def _single(readings: Sequence[Reading], kind: str, attack: str) -> dict[tuple[str, str], float]:
    """Return (attacked, tested) -> the kept mAP, for attacks on a single network."""
    return {
        (r.row, r.column): r.value
        for r in readings
        if r.table == GALLERY[attack] and "+" not in r.row and _kind(r) == kind
    }


def _ensemble(attack: str) -> Callable[[Sequence[Reading]], Iterator[float]]:
    def values(readings: Sequence[Reading]) -> Iterator[float]:
        cells = {(r.row, r.column): r.value for r in readings if r.table == GALLERY[attack]}
        for (row, column), value in cells.items():
            sources = row.split("+")
            if len(sources) > 1 and column not in sources:
                yield min(cells[source, column] for source in sources) - value

    return values


_JOINT_I, _JOINT_MI = _ensemble("ifgsm"), _ensemble("mifgsm")


def _query(attack: str) -> Callable[[Sequence[Reading]], Iterator[float]]:
    return lambda readings: (r.value for r in readings if (r.table, r.column) == (QUERY, attack))


def _lta_over_sma(readings: Sequence[Reading]) -> Iterator[float]:
    lta, sma = _query("lta")(readings), _query("sma")(readings)
    return (a - b for a, b in zip(lta, sma, strict=True))


def _clean(readings: Sequence[Reading]) -> Iterator[float]:
    return (r.value for r in readings if r.table == CLEAN)


def _kind(reading: Reading) -> str:
    """Return white, gray or black, from the labels of the attacked and the tested network."""
    if reading.row == reading.column:
        return "white"
    attacked, tested = (label.removesuffix(SECOND) for label in (reading.row, reading.column))
    return "gray" if attacked == tested else "black"


FACTS = (
    Fact("clean mAP", 0.85, 1.0, GOAL, _clean),
    Fact("white-box I-FGSM, gallery: mAP kept", 0.011, 0.019, PEOPLE, _kept("white", "ifgsm")),
    Fact("white-box MI-FGSM, gallery: mAP kept", 0.023, 0.023, CROPS, _kept("white", "mifgsm")),
    Fact("white-box I-FGSM, queries: mAP kept", 0.028, 0.03, CROPS, _query("ifgsm")),
    Fact("white-box SMA, queries: mAP kept", 0.045, 0.049, CROPS, _query("sma")),
    Fact("white-box LTA, queries: mAP kept", 0.05, 0.055, CROPS, _query("lta")),
    Fact("LTA, queries: keeps more than SMA by", 0.005, 0.006, CROPS, _lta_over_sma),
    Fact("gray-box I-FGSM: mAP kept", 0.55, 0.79, PEOPLE, _kept("gray", "ifgsm")),
    Fact("gray-box MI-FGSM: mAP kept", 0.43, 0.74, PEOPLE, _kept("gray", "mifgsm")),
    Fact("gray-box MI-FGSM: takes more than I-FGSM by", -0.03, 0.12, PEOPLE, _momentum("gray")),
    Fact("black-box I-FGSM: mAP kept", 0.83, 0.99, PEOPLE, _kept("black", "ifgsm")),
    Fact("black-box MI-FGSM: mAP kept", 0.76, 0.99, PEOPLE, _kept("black", "mifgsm")),
    Fact("ensemble, I-FGSM: takes more than its better member by", 0.04, 0.04, CROPS, _JOINT_I),
    Fact("ensemble, MI-FGSM: takes more than its better member by", -0.05, -0.05, CROPS, _JOINT_MI),
)


def answers(readings: Sequence[Reading]) -> list[Answer]:
    """Return each fact with the study's values; facts without a case are left out."""
    seeds = sorted({reading.seed for reading in readings})
    answered = []
    for fact in FACTS:
        cases = [list(fact.values([r for r in readings if r.seed == seed])) for seed in seeds]
        means = tuple(statistics.fmean(values) for values in cases if values)
        if means:
            answered.append(Answer(fact, means, sum(map(len, cases))))
    return answered


def figures(readings: Sequence[Reading]) -> dict[str, PageFigure]:
    """Return the picture of the answers."""
    caption = (
        f"Dots: seeds. Bars: the ranges of real weights, widened by {100 * MARGIN:g} points. Green "
        "is inside, red outside."
    )
    return {
        "ranges": PageFigure(
            ranges_figure(readings),
            "Answers next to the ranges of real weights",
            caption,
            wide=True,
        )
    }


def ranges_figure(readings: Sequence[Reading]) -> Figure:
    """Draw each answer and the range of real weights, in percent."""
    answered = answers(readings)
    figure = Figure(figsize=(7.2, 0.6 + 0.36 * len(answered)), layout="constrained")
    axes = figure.subplots()
    tidy(axes)
    for place, answer in enumerate(answered):
        low, high = (100 * end for end in (answer.fact.low, answer.fact.high))
        low, high = low - 100 * MARGIN, high + 100 * MARGIN
        axes.barh(place, high - low, left=low, height=0.5, color=GRID, zorder=1)
        color = RIGHT if answer.inside else WRONG
        for value in answer.seeds:
            axes.plot(100 * value, place, "o", color=color, markersize=5, zorder=2)
    axes.set_yticks(
        range(len(answered)), [a.fact.question for a in answered], color=INK, fontsize=8
    )
    axes.invert_yaxis()
    bars = f"bars: real weights, widened by {100 * MARGIN:.0f} points"
    axes.set_xlabel(f"percent ({bars}; dots: seeds)", color=INK, fontsize=8)
    return figure


def summary(readings: Sequence[Reading]) -> Section:
    """Return the table of all facts, and the conclusion."""
    table, answered = ranges(readings), answers(readings)
    return Section(table.title, list(_conclusion(answered)), [table])


def headline(readings: Sequence[Reading]) -> str:
    """Say how many answers are in the ranges of real weights."""
    answered = answers(readings)
    inside = sum(answer.inside for answer in answered)
    return f"Of {len(answered)} answers, {inside} are in the range of real weights."


def ranges(readings: Sequence[Reading]) -> ResultTable:
    """Return the table of all facts."""
    columns = ("here", "cases", "real weights", "seen on", "verdict")
    rows = [TableRow(answer.fact.question, _cells(answer)) for answer in answers(readings)]
    return ResultTable("Compared with real weights", columns, rows, head="question")


def _cells(answer: Answer) -> list[Cell]:
    fact = answer.fact
    return [
        Cell(spread(answer.seeds), answer.value),
        Cell(str(answer.cases), answer.cases),
        Cell(range_text(fact.low, fact.high), fact.low),
        Cell(fact.source),
        Cell("inside") if answer.inside else Cell("outside", strong=True),
    ]


def range_text(low: float, high: float) -> str:
    """Return a range in percent, a single number if only one was measured."""
    ends = dict.fromkeys(f"{100 * end:.1f}" for end in (low, high))
    return " to ".join(ends)


def _conclusion(answered: Sequence[Answer]) -> Iterator[str]:
    outside = [answer for answer in answered if not answer.inside]
    yield SOURCES
    yield (
        f"All numbers are percent. A value counts as inside up to {100 * MARGIN:g} points beyond "
        "the range, because each range comes from few networks. "
        f"{len(answered) - len(outside)} of {len(answered)} answers are inside."
    )
    if not outside:
        yield "These networks behave like real weights in every question."
        return
    yield (
        "These networks do not behave like real weights in the following questions. A study that "
        "rests on one of them says nothing about a paper:"
    )
    for answer in outside:
        gap = answer.fact.low - answer.value
        side, by = ("below", gap) if gap > 0 else ("above", answer.value - answer.fact.high)
        yield (
            f"{answer.fact.question}: {100 * answer.value:.1f}, {100 * by:.1f} points {side} "
            f"the range ({answer.fact.source})."
        )
