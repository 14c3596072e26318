"""Which queries and images a report shows: chosen by rule, so that a run shows the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from torchreid_adv.report.survey import Ranking


def choose_queries(
    before: Ranking, after: Ranking, pids: Sequence[int], *, count: int = 5
) -> list[int]:
    """Choose queries for ranking lists: right before the attack, spread over the loss of AP.

    Queries of different people are preferred. Where too few are right before the attack, those
    with a positive fill up, best AP first.

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
    chosen = spread(right, pids, count)
    if len(chosen) < count:
        precision = before.average_precision.tolist()
        others = [i for i, first in enumerate(before.first.tolist()) if first > 0]
        others.sort(key=lambda i: (-precision[i], i))
        chosen += others[: count - len(chosen)]
    return sorted(chosen, key=lambda i: (-drop[i], i))


def choose_worst(
    before: Ranking,
    after: Ranking,
    pids: Sequence[int],
    *,
    count: int = 5,
    among: Tensor | None = None,
) -> list[int]:
    """Choose the queries that lose most average precision, one of each person.

    Args:
        before: n queries ranked before the attack.
        after: the same after it.
        pids: n identities.
        count: how many to choose at most.
        among: (n,) bool, those that are chosen from; None = all.

    Returns:
        positions in ``before``, the largest loss first; queries without a match and such that
        lose nothing are never among them.
    """
    lost = (before.average_precision - after.average_precision).nan_to_num(nan=0.0)
    drop = (lost if among is None else lost.where(among, 0)).tolist()
    chosen: dict[int, int] = {}
    for place in sorted(range(len(drop)), key=lambda i: (-drop[i], i)):
        if drop[place] > 0:
            chosen.setdefault(pids[place], place)
    return list(chosen.values())[:count]


def turned(before: Ranking, after: Ranking) -> Tensor:
    """Return which of n queries are right before the attack and wrong after it: (n,) bool."""
    return (before.first == 0) & (after.first > 0)


def spread(order: Sequence[int], pids: Sequence[int], count: int) -> list[int]:
    """Take ``count`` entries at even steps through ``order``, stepping aside for a new pid.

    Args:
        order: what is chosen from.
        pids: identity of each number in ``order``.
        count: how many at most.
    """
    left = list(range(len(order)))
    chosen: list[int] = []
    seen: set[int] = set()
    for slot in range(min(count, len(order))):
        goal = slot * (len(order) - 1) / max(1, count - 1)
        place = min(left, key=lambda j: (pids[order[j]] in seen, abs(j - goal), j))
        left.remove(place)
        chosen.append(order[place])
        seen.add(pids[order[place]])
    return chosen


def choose_probe(before: Ranking, after: Ranking) -> tuple[int, bool] | None:
    """Choose the query whose first match turns from right to wrong at the largest loss of AP.

    Returns:
        its position and True; without such a query the one of the largest loss and False; None
        when no query has both a positive and a negative.
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
