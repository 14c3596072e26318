"""Which queries and images a report shows: chosen by rule, so that a run shows the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchreid_adv.report.survey import Ranking


def choose_queries(
    before: Ranking, after: Ranking, pids: Sequence[int], *, count: int = 5
) -> list[int]:
    """Choose queries for ranking lists: correct before the attack, spread over the loss of AP.

    Queries of different people are preferred. If too few are correct before the attack, other
    queries with a positive are added, best AP first.

    Args:
        before: n queries ranked before the attack.
        after: the same after it.
        pids: n identities.
        count: how many to choose at most.

    Returns:
        positions in ``before``, the largest loss first.
    """
    drop = (before.average_precision - after.average_precision).tolist()
    right = [i for i, first in enumerate(before.first.tolist()) if first == 0]
    right.sort(key=lambda i: (-drop[i], i))
    positions = spread(right, pids, count)
    if len(positions) < count:
        precision = before.average_precision.tolist()
        others = [i for i, first in enumerate(before.first.tolist()) if first > 0]
        others.sort(key=lambda i: (-precision[i], i))
        positions += others[: count - len(positions)]
    return sorted(positions, key=lambda i: (-drop[i], i))


def choose_worst(
    before: Ranking,
    after: Ranking,
    pids: Sequence[int],
    *,
    count: int = 5,
    among: Tensor | None = None,
) -> list[int]:
    """Choose the queries that lose most average precision, one per person.

    Args:
        before: n queries ranked before the attack.
        after: the same after it.
        pids: n identities.
        count: how many to choose at most.
        among: (n,) bool, the candidates; None = all.

    Returns:
        positions in ``before``, the largest loss first; queries without a match and queries that
        lose nothing are left out.
    """
    lost = (before.average_precision - after.average_precision).nan_to_num(nan=0.0)
    drop = (lost if among is None else lost.where(among, 0)).tolist()
    worst_of_pid: dict[int, int] = {}
    for place in sorted(range(len(drop)), key=lambda i: (-drop[i], i)):
        if drop[place] > 0:
            worst_of_pid.setdefault(pids[place], place)
    return list(worst_of_pid.values())[:count]


def turned(before: Ranking, after: Ranking) -> Tensor:
    """Return which of n queries are correct before the attack and wrong after it: (n,) bool."""
    return (before.first == 0) & (after.first > 0)


def spread(order: Sequence[int], pids: Sequence[int], count: int) -> list[int]:
    """Take ``count`` entries at even steps through ``order``, preferring a new pid nearby.

    Args:
        order: the candidates.
        pids: identity of each number in ``order``.
        count: how many at most.
    """
    remaining = list(range(len(order)))
    entries: list[int] = []
    seen: set[int] = set()
    for slot in range(min(count, len(order))):
        goal = slot * (len(order) - 1) / max(1, count - 1)
        place = min(remaining, key=lambda j: (pids[order[j]] in seen, abs(j - goal), j))
        remaining.remove(place)
        entries.append(order[place])
        seen.add(pids[order[place]])
    return entries


def choose_probe(before: Ranking, after: Ranking) -> tuple[int, bool] | None:
    """Choose the query with the largest loss of AP among those whose first match turns wrong.

    Returns:
        its position and True; without such a query, the query with the largest loss and False;
        None when no query has both a positive and a negative.
    """
    drop = before.average_precision - after.average_precision
    usable = (before.match >= 0) & (after.rival >= 0)
    flipped = usable & (before.first == 0) & (after.first > 0)
    among = flipped if flipped.any() else usable
    if not among.any():
        return None
    return int(drop.masked_fill(~among, -torch.inf).argmax()), bool(flipped.any())


def choose_images(image_ids: Sequence[str], *, count: int = 4) -> list[str]:
    """Choose ``count`` of the sorted images at even steps (all when there are fewer)."""
    names = sorted(image_ids)
    count = min(count, len(names))
    return [names[(2 * slot + 1) * len(names) // (2 * count)] for slot in range(count)]
