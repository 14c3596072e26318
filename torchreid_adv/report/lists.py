"""Ranking lists of some queries, before and after the attack."""

from __future__ import annotations

from dataclasses import dataclass

from torchreid_adv.report.choice import choose_queries
from torchreid_adv.report.pictures import Card, card, found_card
from torchreid_adv.report.ranking import Ranking
from torchreid_adv.report.survey import Survey
from torchreid_adv.report.target import TargetReport


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
    chosen = choose_queries(survey.before, survey.after, pids)
    return [
        RankingLists(
            _row(target, survey, position, after=False),
            _row(target, survey, position, after=True),
            (_precision(survey.before, position), _precision(survey.after, position)),
        )
        for position in chosen
    ]


def _precision(ranking: Ranking, position: int) -> float:
    return float(ranking.average_precision[position])


def _row(target: TargetReport, survey: Survey, position: int, *, after: bool) -> ListRow:
    row, ranking = int(survey.rows[position]), survey.after if after else survey.before
    query = card(target, target.query, row, after=after)
    pairs = zip(
        ranking.top[position].tolist(), ranking.top_distance[position].tolist(), strict=True
    )
    found = [
        found_card(target, query, place, after=after, distance=distance)
        for place, distance in pairs
        if place >= 0
    ]
    return ListRow("adversarial" if after else "clean", query, found)
