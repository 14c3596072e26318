"""Ranking lists of some queries before and after the attack; those of images with a target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from torchreid_adv.evaluation import topk
from torchreid_adv.evaluation.attacked import TargetReport
from torchreid_adv.evaluation.targeted import pulled_ranks
from torchreid_adv.report.cards import Card, card, found_card
from torchreid_adv.report.choice import choose_queries, spread
from torchreid_adv.report.survey import Ranking, Survey, take

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


COUNT = 3

_Moves = dict[int, tuple[int, int]]  # gallery row -> positions before and after, from 1


@dataclass(frozen=True)
class PulledLists:
    """A query's lists before and after a targeted attack, and what was pulled in them.

    Args:
        before: the clean list.
        after: the list after the attack.
        pulled: gallery images whose distance to the query was made small, as they were before,
            the first of them after the attack first; ten at most.
        total: how many such images there are.
        first: how many of them are among the first ten, before and after.
        identity: the one that was pulled to.
        label: of the row of what was pulled.
    """

    before: ListRow
    after: ListRow
    pulled: list[Card]
    total: int
    first: tuple[int, int]
    identity: int
    label: str


def pulled_lists(target: TargetReport, survey: Survey) -> list[PulledLists]:
    """Return the lists of some three queries, spread over how many pulled images come up."""
    moves = _moves(target, survey)
    if not moves:
        return []
    order = sorted(
        moves, key=lambda i: (-_among(moves[i], 1), min(a for _, a in moves[i].values()))
    )
    pids = target.query.pids[survey.rows].tolist()
    chosen = [order[i] for i in spread(range(len(order)), [pids[i] for i in order], COUNT)]
    chosen.sort(key=order.index)
    rows = survey.rows[chosen]
    before, after = (list_rows(target, rows, after=late) for late in (False, True))
    return [
        _lists(target, clean, moved, moves[i])
        for i, clean, moved in zip(chosen, before, after, strict=True)
    ]


def _moves(target: TargetReport, survey: Survey) -> dict[int, _Moves]:
    """Return the positions of what was pulled in each surveyed query's list."""
    if not target.pulled:
        return {}
    sides = (target.query, target.gallery), (target.query_after, target.gallery_after)
    before, after = (
        pulled_ranks(take(query, survey.rows), gallery, target.pulled, target.protocol)
        for query, gallery in sides
    )
    moves: dict[int, _Moves] = defaultdict(dict)
    for row, column, old, new in zip(*before[:2], before[2], after[2], strict=True):
        moves[int(row)][int(column)] = int(old) + 1, int(new) + 1
    return moves


def _among(moves: _Moves, time: int) -> int:
    return sum(positions[time] <= LENGTH for positions in moves.values())


def _lists(target: TargetReport, before: ListRow, after: ListRow, moves: _Moves) -> PulledLists:
    names = {target.gallery.image_ids[place]: positions for place, positions in moves.items()}
    first = sorted(moves, key=lambda place: moves[place][1])[:LENGTH]
    row = target.query.image_ids.index(before.query.image_id)
    distances = target.distances(row, first, after=False)
    pulled = [
        found_card(target, before.query, place, after=False, distance=distance)
        for place, distance in zip(first, distances, strict=True)
    ]
    own = target.side == "gallery"  # the query's identity is what was pulled to
    return PulledLists(
        before=_marked(before, names),
        after=_marked(after, names),
        pulled=[replace(card, positions=names[card.image_id]) for card in pulled],
        total=len(moves),
        first=(_among(moves, 0), _among(moves, 1)),
        identity=before.query.pid if own else target.pulled[before.query.image_id],
        label="pulled, as it was" if own else "the target",
    )


def _marked(row: ListRow, names: dict[str, tuple[int, int]]) -> ListRow:
    """Return a list in which the cards of pulled images know their positions."""
    return replace(row, found=[replace(c, positions=names.get(c.image_id)) for c in row.found])
