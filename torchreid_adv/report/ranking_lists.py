"""Ranking lists of some queries before and after the attack; those of images with a target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from torchreid_adv.evaluation import topk
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.evaluation.targeted import targeted_ranks
from torchreid_adv.report.cards import Card, card, found_card
from torchreid_adv.report.choice import choose_queries, spread
from torchreid_adv.report.survey import Ranking, Survey, take

LENGTH = 10


@dataclass(frozen=True)
class ListRow:
    """A query and its nearest gallery images, before or after the attack."""

    label: str
    query: Card
    found: list[Card]


@dataclass(frozen=True)
class RankingLists:
    """The lists of one query before and after the attack, with both APs."""

    before: ListRow
    after: ListRow
    precision: tuple[float, float]


def ranking_lists(target: AttackedData, survey: Survey) -> list[RankingLists]:
    """Return the lists of about five queries, the largest loss of AP first."""
    pids = target.query.pids[survey.rows].tolist()
    return lists_of(target, survey, choose_queries(survey.before, survey.after, pids))


def lists_of(target: AttackedData, survey: Survey, positions: Sequence[int]) -> list[RankingLists]:
    """Return the lists of the queries at some positions in the survey."""
    if not positions:
        return []
    rows = survey.rows[list(positions)]
    before, after = (list_rows(target, rows, after=after) for after in (False, True))
    return [
        RankingLists(
            before[i], after[i], (_precision(survey.before, j), _precision(survey.after, j))
        )
        for i, j in enumerate(positions)
    ]


def _precision(ranking: Ranking, position: int) -> float:
    return float(ranking.average_precision[position])


def list_rows(target: AttackedData, rows: Tensor, *, after: bool) -> list[ListRow]:
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


def _row(target: AttackedData, row: int, places: list[int], *, after: bool) -> ListRow:
    query = card(target, target.query, row, after=after)
    distances = target.distances(row, places, after=after)
    cards = [
        found_card(target, query, place, after=after, distance=distance)
        for place, distance in zip(places, distances, strict=True)
    ]
    return ListRow("adversarial" if after else "clean", query, cards)


COUNT = 3

_Moves = dict[int, tuple[int, int]]  # gallery row -> positions before and after, from 1


@dataclass(frozen=True)
class TargetedLists:
    """A query's lists before and after a targeted attack, and the images it pulled.

    Args:
        before: the clean list.
        after: the list after the attack.
        pulled: clean gallery images whose distance to the query the attack reduced, in their
            order after the attack; ten at most.
        total: how many such images there are.
        first: how many of them are among the first ten, before and after.
        identity: the target of the pull.
        label: of the row of pulled images.
    """

    before: ListRow
    after: ListRow
    pulled: list[Card]
    total: int
    first: tuple[int, int]
    identity: int
    label: str


def targeted_lists(target: AttackedData, survey: Survey) -> list[TargetedLists]:
    """Return the lists of about three queries, spread over how many pulled images rise."""
    moves = _moves(target, survey)
    if not moves:
        return []
    order = sorted(
        moves, key=lambda i: (-_among(moves[i], 1), min(a for _, a in moves[i].values()))
    )
    pids = target.query.pids[survey.rows].tolist()
    positions = [order[i] for i in spread(range(len(order)), [pids[i] for i in order], COUNT)]
    positions.sort(key=order.index)
    rows = survey.rows[positions]
    before, after = (list_rows(target, rows, after=late) for late in (False, True))
    return [
        _lists(target, clean, moved, moves[i])
        for i, clean, moved in zip(positions, before, after, strict=True)
    ]


def _moves(target: AttackedData, survey: Survey) -> dict[int, _Moves]:
    """Return the positions of the pulled images in each surveyed query's list."""
    if not target.pulled:
        return {}
    sides = (target.query, target.gallery), (target.query_after, target.gallery_after)
    before, after = (
        targeted_ranks(take(query, survey.rows), gallery, target.pulled, target.protocol)
        for query, gallery in sides
    )
    moves: dict[int, _Moves] = defaultdict(dict)
    for row, column, old, new in zip(*before[:2], before[2], after[2], strict=True):
        moves[int(row)][int(column)] = int(old) + 1, int(new) + 1
    return moves


def _among(moves: _Moves, time: int) -> int:
    return sum(positions[time] <= LENGTH for positions in moves.values())


def _lists(target: AttackedData, before: ListRow, after: ListRow, moves: _Moves) -> TargetedLists:
    names = {target.gallery.image_ids[place]: positions for place, positions in moves.items()}
    first = sorted(moves, key=lambda place: moves[place][1])[:LENGTH]
    row = target.query.image_ids.index(before.query.image_id)
    distances = target.distances(row, first, after=False)
    pulled = [
        found_card(target, before.query, place, after=False, distance=distance)
        for place, distance in zip(first, distances, strict=True)
    ]
    pulled_to_query = target.side == "gallery"  # images are pulled to the query's identity
    return TargetedLists(
        before=_marked(before, names),
        after=_marked(after, names),
        pulled=[replace(card, positions=names[card.image_id]) for card in pulled],
        total=len(moves),
        first=(_among(moves, 0), _among(moves, 1)),
        identity=before.query.pid if pulled_to_query else target.pulled[before.query.image_id],
        label="pulled, clean" if pulled_to_query else "the target",
    )


def _marked(row: ListRow, names: dict[str, tuple[int, int]]) -> ListRow:
    """Return a list in which the cards of pulled images have their positions."""
    return replace(row, found=[replace(c, positions=names.get(c.image_id)) for c in row.found])
