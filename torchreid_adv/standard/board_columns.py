"""What a leaderboard shows of robustness cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torchreid_adv.report.table import Value, rate
from torchreid_adv.report.text import percent
from torchreid_adv.report.units import DASH
from torchreid_adv.standard.board_sorts import COLUMNS


@dataclass(frozen=True)
class CardMeasure:
    """A measure of a robustness card.

    Args:
        value: mAP, in [0, 1].
        interval: its 95 % interval over identities.
    """

    value: float
    interval: Sequence[float]


Card = Mapping[str, CardMeasure]  # by column; empty = there is no card


def card_cells(card: Card) -> list[Value]:
    """Return the cells of a row of the page; dashes where there is no card."""
    return [
        rate(card[name].value, _span(card[name])) if name in card else rate(None)
        for name in COLUMNS
    ]


def card_texts(card: Card) -> list[str]:
    """Return the cells of a row in Markdown; dashes where there is no card."""
    return [
        f"{percent(card[name].value)} ({_span(card[name])})" if name in card else DASH
        for name in COLUMNS
    ]


def _span(measure: CardMeasure) -> str:
    low, high = (percent(end).removesuffix("%") for end in measure.interval)
    return f"{low} {DASH} {high}"
