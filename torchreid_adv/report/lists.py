"""Ranking lists of some queries, before and after the attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from torchreid_adv.evaluation import topk
from torchreid_adv.report.choice import choose_queries
from torchreid_adv.report.pictures import Card, card, found_card
from torchreid_adv.report.ranking import Ranking, take
from torchreid_adv.report.survey import Survey
from torchreid_adv.report.target import TargetReport

LENGTH = 10


@dataclass(frozen=True)
class ListRow:
    """A query and its nearest gallery images, at one of the two times."""

    label: str
    query: Card
    found: list[Card]


@dataclass(frozen=True)
class RankingLists:
    """The lists of one query before and after the attack, with its AP at both times."""

    before: ListRow
    after: ListRow
    precision: tuple[float, float]


def ranking_lists(target: TargetReport, survey: Survey) -> list[RankingLists]:
    """Return the lists of some five queries, the largest loss of AP first."""
    pids = target.query.pids[survey.rows].tolist()
    return lists_of(target, survey, choose_queries(survey.before, survey.after, pids))


def lists_of(target: TargetReport, survey: Survey, chosen: Sequence[int]) -> list[RankingLists]:
    """Return the lists of the queries at some positions in the survey."""
    if not chosen:
        return []
    rows = survey.rows[list(chosen)]
    before, after = (list_rows(target, rows, after=after) for after in (False, True))
    return [
        RankingLists(
            before[i], after[i], (_precision(survey.before, j), _precision(survey.after, j))
        )
        for i, j in enumerate(chosen)
    ]


def _precision(ranking: Ranking, position: int) -> float:
    return float(ranking.average_precision[position])


def list_rows(target: TargetReport, rows: Tensor, *, after: bool) -> list[ListRow]:
    """Return the lists of some query rows before or after the attack."""
    query = target.query_after if after else target.query
    gallery = target.gallery_after if after else target.gallery
    shown, protocol = take(query, rows), target.protocol
    labels = protocol.labels(shown, gallery)
    nearest = topk(shown, gallery, LENGTH, distance=protocol.distance, labels=labels)
    return [
        _row(target, row, [place for place in places if place >= 0], after=after)
        for row, places in zip(rows.tolist(), nearest.tolist(), strict=True)
    ]


def _row(target: TargetReport, row: int, places: list[int], *, after: bool) -> ListRow:
    query = card(target, target.query, row, after=after)
    distances = target.distances(row, places, after=after)
    found = [
        found_card(target, query, place, after=after, distance=distance)
        for place, distance in zip(places, distances, strict=True)
    ]
    return ListRow("adversarial" if after else "clean", query, found)
