"""The page, the figure and the JSON file of several cards on one data set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import write_bytes, write_text
from torchreid_adv.experiments.card.comparing import (
    check_comparable,
    differences_between,
    draw_agreement,
)
from torchreid_adv.experiments.card.content import label_of
from torchreid_adv.experiments.card.figures import comparison_figure, occlusion_figure, strip_figure
from torchreid_adv.experiments.card.measures import measures_of
from torchreid_adv.experiments.card.page import provenance_of
from torchreid_adv.experiments.card.tables import points, points_interval
from torchreid_adv.report.page import Page, PageFigure, Section, write_page
from torchreid_adv.report.style import to_png
from torchreid_adv.report.table import Cell, ResultTable, TableRow, rate
from torchreid_adv.report.text import number
from torchreid_adv.standard.page_tables import span
from torchreid_adv.version import __version__

SCHEMA = 1
FILE = "cards"
_CONDITIONS = ("clean", "corrupted", "robust")  # of the identities' numbers
Content = Mapping[str, Any]
_TENTH_INTERVAL = "worst_tenth_interval"
_NEVER_MIXED = (
    "Corruptions are drawn and attacks are searched for, so that there is no number that mixes the "
    "two. Click a column heading to sort."
)
_PAIRED = (
    "mAP of each model minus that of {first}, in points, with the 95 % interval of the difference: "
    "the same identities are drawn for both models. An interval that contains 0 does not tell the "
    "two apart."
)


def write_comparison(folder: Path, cards: Sequence[Content], command: str = "") -> Path:
    """Write ``cards.json``, ``cards.html`` and ``cards.png`` and return the path of the first.

    Args:
        folder: for the files.
        cards: two or more on one data set by one version; differences are to the first.
        command: that made them, for the page.

    Raises:
        ConfigError: two cards differ in version, data set or rules.
    """
    first, *others = cards
    for card in others:
        check_comparable(first, card)
    write_text(folder / f"{FILE}.json", json.dumps(comparison_facts(cards), indent=1) + "\n")
    write_bytes(folder / f"{FILE}.png", to_png(comparison_figure(cards)))
    write_page(folder / f"{FILE}.html", comparison_page(cards, command))
    return folder / f"{FILE}.json"


def comparison_facts(cards: Sequence[Content]) -> dict[str, Any]:
    """Return what ``cards.json`` holds: the measures of each card, and differences to the first."""
    first, *others = cards
    return {
        "schema": SCHEMA,
        "version": __version__,
        "card": first["card"],
        "data": first["data"],
        "models": {label_of(card): _model_facts(card) for card in cards},
        "differences": {label_of(card): differences_between(first, card) for card in others},
        "agreement_of_draws": draw_agreement(cards),
    }


def _model_facts(card: Content) -> dict[str, Any]:
    people = card["numbers"]["people"]
    return {
        "sha256": card["sha256"],
        "measures": {
            m.name: {"mAP": m.value, "interval": list(m.interval), "note": m.note}
            for m in measures_of(card["numbers"])
        },
        "worst_tenth": {
            name: {"mAP": people[name]["worst_tenth"], "interval": people[name][_TENTH_INTERVAL]}
            for name in _CONDITIONS
        },
        "flags": _flags(card),
    }


def comparison_page(cards: Sequence[Content], command: str = "") -> Page:
    """Return the page of several cards."""
    first, numbers = cards[0], cards[0]["numbers"]
    drawn = {
        "strip": PageFigure(
            strip_figure(cards),
            "mAP of every measure of each model",
            "Dots: mAP. Lines: 95 % intervals, identities drawn with replacement.",
            wide=True,
        ),
        "occlusion": PageFigure(
            occlusion_figure(cards),
            "mAP against the percentage that is hidden",
            "Mean of the three kinds of occlusion.",
        ),
    }
    return Page(
        title=f"Robustness cards on {first['data']['name']}",
        kicker=f"{number(len(cards))} models, version {first['card']['name']}, "
        f"{number(numbers['queries'])} queries, {number(numbers['identities'])} identities",
        sections=[
            Section("Side by side", [_NEVER_MIXED], [measure_table(cards)], drawn),
            Section(
                "Differences",
                [_PAIRED.format(first=label_of(first)), *_order_sentences(cards)],
                [difference_table(cards)],
            ),
            Section("By person", [], [people_table(cards)]),
            Section("Flags", [_flag_sentence(card) for card in cards]),
        ],
        provenance=provenance_of(first, command),
        written_by=f"torchreid_adv {__version__}, schema {SCHEMA}",
    )


def measure_table(cards: Sequence[Content]) -> ResultTable:
    """Return a row for each measure, a column for each model."""
    measures = [{m.name: m for m in measures_of(card["numbers"])} for card in cards]
    rows = [
        TableRow(
            name,
            [
                rate(known[name].value, span(known[name].interval)) if name in known else rate(None)
                for known in measures
            ],
        )
        for name in measures[0]
    ]
    for name in cards[0]["numbers"]["cross"]:
        crosses = [card["numbers"]["cross"].get(name) for card in cards]
        cells = [
            rate(None) if cross is None else rate(cross["mAP"], span(cross["interval"]))
            for cross in crosses
        ]
        rows.append(TableRow(f"clean on {name}", cells))
    note = "Small numbers are 95 % intervals over identities."
    return ResultTable(
        "mAP", [*map(label_of, cards)], rows, head="measure", note=note, sortable=True
    )


def difference_table(cards: Sequence[Content]) -> ResultTable:
    """Return how much each further model has above the first one, a column for each."""
    first, *others = cards
    between = [differences_between(first, card) for card in others]
    rows = [
        TableRow(name, [_difference(differences.get(name)) for differences in between])
        for name in between[0]
    ]
    title = f"Points above {label_of(first)}"
    columns = [*map(label_of, others)]
    return ResultTable(title, columns, rows, head="measure", sortable=True)


def _difference(difference: Mapping[str, Any] | None) -> Cell:
    if difference is None:
        return points(None)
    shown = points(difference["mAP"])
    return Cell(shown.text, shown.value, points_interval(difference["interval"]).text)


def people_table(cards: Sequence[Content]) -> ResultTable:
    """Return the worst tenth and the spread of identities, a column for each model."""
    people_of_cards = [card["numbers"]["people"] for card in cards]
    rows = []
    for part, title in (("worst_tenth", "mean of the worst tenth"), ("deviation", "deviation")):
        for name in _CONDITIONS:
            cells = [
                rate(people[name][part], span(people[name][f"{part}_interval"]))
                for people in people_of_cards
            ]
            rows.append(TableRow(f"{title}, {name}", cells))
    columns = [*map(label_of, cards)]
    return ResultTable("Identities", columns, rows, head="measure", sortable=True)


def _order_sentences(cards: Sequence[Content]) -> list[str]:
    tau = draw_agreement(cards)
    if tau is None:
        return []
    alike = "The order of the models" if tau > 0.9 else "The order of models that lie close"
    stable = "does not depend on the draw" if tau > 0.9 else "depends on the draw"
    return [
        f"Each draw of corruptions orders the models; the orders agree by {tau:.2f} (Kendall's "
        f"tau, mean over pairs of draws). {alike} {stable}."
    ]


def _flags(card: Content) -> list[str]:
    flags = [f"{flag['level']} {flag['name']}" for flag in card["standard"]["flags"]]
    return [*dict.fromkeys(flags)]


def _flag_sentence(card: Content) -> str:
    return f"{label_of(card)}: {', '.join(_flags(card)) or 'none'}."
