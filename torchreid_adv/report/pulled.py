"""Lists that a targeted attack's images enter, with their positions before and after.

The form of Bai et al., Adversarial Metric Attack, figure 4 (b); images of the query's own identity
and camera are left out here, as in the evaluation.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from torchreid_adv.evaluation.targeted import pulled_ranks
from torchreid_adv.report.choice import spread
from torchreid_adv.report.lists import LENGTH, ListRow, list_rows
from torchreid_adv.report.pictures import Card, found_card
from torchreid_adv.report.ranking import take
from torchreid_adv.report.survey import Survey
from torchreid_adv.report.target import TargetReport

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
