"""Who fails: the identities that a model ranks worst, in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.experiments.card.numbers import floats, main_place
from torchreid_adv.models.features import Features
from torchreid_adv.report.cards import Card
from torchreid_adv.report.panels import Sheet
from torchreid_adv.report.ranking_lists import ListRow, list_rows
from torchreid_adv.report.style import INK, RIGHT, WRONG
from torchreid_adv.report.text import percent

SHOWN = 5  # identities
LENGTH = 5  # images of a list


@dataclass(frozen=True)
class Failure:
    """An identity that a model ranks badly.

    Args:
        pid: its identity.
        precision: mean average precision of its queries by condition.
        row: its worst query and what the model returns for it, nearest first.
    """

    pid: int
    precision: Mapping[str, float]
    row: ListRow


def worst_people(queries: Mapping[str, Any]) -> list[tuple[int, int, dict[str, float]]]:
    """Return the identities with the lowest clean average precision, worst first.

    Equal ones are ordered by corrupted, then by robust average precision.

    Args:
        queries: per-query part of a card.

    Returns:
        of each the row of its worst query, its identity, and its means by condition.
    """
    pids, clean = np.array(queries["pids"]), floats(queries["clean"]["ap"])
    robust = floats(queries["robust"][main_place(queries["robust"])]["ap"])
    drawn = np.mean([floats(row) for row in queries["draws"]], axis=0)
    held = ~np.isnan(clean)
    people = []
    for pid in np.unique(pids[held]).tolist():
        rows = np.flatnonzero(held & (pids == pid))
        conditions = {"clean": clean, "corrupted": drawn, "robust": robust}
        means = {name: float(values[rows].mean()) for name, values in conditions.items()}
        people.append((int(rows[clean[rows].argmin()]), pid, means))
    return sorted(people, key=lambda person: (*person[2].values(), person[1]))[:SHOWN]


def failures(
    queries: Mapping[str, Any],
    clean: Mapping[str, Features],
    paths: Mapping[str, Any],
    protocol: Protocol,
) -> list[Failure]:
    """Return the identities that a model ranks worst, with their lists.

    Args:
        queries: per-query part of a card.
        clean: features of both sides.
        paths: image_id -> file.
        protocol: rules of the scores.

    Raises:
        DataError: an image is missing or cannot be read.
    """
    target = AttackedData(
        name="",
        results={},
        query=clean["query"],
        gallery=clean["gallery"],
        query_after=clean["query"],
        gallery_after=clean["gallery"],
        paths=dict(paths),
        paths_after={},
        attacked=frozenset(),
        side="query",
        eps=0.0,
        protocol=protocol,
    )
    people = worst_people(queries)
    rows = torch.tensor([row for row, _, _ in people], dtype=torch.int64)
    lists = list_rows(target, rows, after=False)
    return [Failure(pid, means, row) for (_, pid, means), row in zip(people, lists, strict=True)]


def failures_figure(people: Sequence[Failure]) -> Figure:
    """Draw the worst query of each identity and what the model returns for it."""
    sheet = Sheet(len(people), 1 + LENGTH, left=0.15)
    for place, failure in enumerate(people):
        words = " / ".join(percent(value).removesuffix("%") for value in failure.precision.values())
        sheet.label(place, f"identity {failure.pid}")
        sheet.show(
            place, 0, failure.row.query.picture, frame=INK, above="query", below=(words, INK)
        )
        for rank, card in enumerate(failure.row.found[:LENGTH], start=1):
            _show(sheet, place, rank, card)
    return sheet.figure


def _show(sheet: Sheet, place: int, rank: int, card: Card) -> None:
    color, word = (RIGHT, "right") if card.right else (WRONG, "wrong")
    sheet.show(place, rank, card.picture, frame=color, above=str(rank), below=(word, color))
