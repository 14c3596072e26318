"""What is shown is chosen by rule."""

from __future__ import annotations

import math

import torch

from torchreid_adv.report.choice import (
    choose_images,
    choose_probe,
    choose_queries,
    choose_worst,
    turned,
)
from torchreid_adv.report.survey import Ranking


def ranking(precision, first, rival=None):
    n = len(first)
    first = torch.tensor(first)
    return Ranking(
        average_precision=torch.tensor(precision, dtype=torch.float64),
        first=first,
        match=first.where(first < 0, 3),
        rival=torch.tensor(rival or [4] * n),
        rival_distance=torch.ones(n),
        positives=torch.ones(n),
    )


def test_only_queries_that_were_right_and_the_extremes_among_them():
    before = ranking([1.0] * 10, [0] * 9 + [1])
    after = ranking([i / 10 for i in range(10)], [5] * 10)
    chosen = choose_queries(before, after, list(range(10)), count=3)
    assert chosen == [0, 4, 8]  # drops 1.0, 0.6, 0.2: most, middle, least of the nine


def test_prefers_other_people():
    before, after = ranking([1.0] * 6, [0] * 6), ranking([0, 0.1, 0.2, 0.3, 0.4, 0.5], [1] * 6)
    chosen = choose_queries(before, after, [7, 7, 7, 7, 7, 8], count=2)
    assert chosen == [0, 5]
    chosen = choose_queries(before, after, [7, 7, 7, 8, 7, 7], count=2)
    assert chosen == [0, 3]


def test_queries_that_turned_wrong_and_the_worst_of_each_person_among_them():
    before = ranking([1.0] * 6, [0, 0, 0, 0, 1, 0])
    after = ranking([0.2, 0.1, 0.4, 0.3, 0.0, 0.9], [4, 5, 2, 3, 9, 0])
    failed = turned(before, after)
    assert failed.tolist() == [True] * 4 + [False, False]  # wrong before, right after
    pids = [7, 7, 8, 9, 5, 6]
    assert choose_worst(before, after, pids, count=2, among=failed) == [1, 3]
    assert choose_worst(before, after, pids, count=2) == [4, 1]


def test_fills_up_with_queries_that_have_a_positive():
    before = ranking([0.5, 1.0, 0.7, math.nan], [1, 0, 2, -1])
    after = ranking([0.5, 0.2, 0.1, math.nan], [1, 1, 9, -1])
    chosen = choose_queries(before, after, [1, 2, 3, 4], count=5)
    assert chosen == [1, 2, 0]
    assert choose_queries(ranking([math.nan], [-1]), ranking([math.nan], [-1]), [1]) == []


def test_the_probe_is_the_flipped_query_of_the_largest_loss():
    before = ranking([1.0, 1.0, 1.0, 1.0], [0, 0, 0, 1])
    after = ranking([0.0, 0.5, 0.3, 0.0], [0, 3, 2, 9])
    assert choose_probe(before, after) == (2, True)  # the first stays right, the last was wrong


def test_the_probe_without_a_flip_and_without_anything():
    before, after = ranking([1.0, 1.0], [0, 0]), ranking([0.9, 0.4], [0, 0])
    assert choose_probe(before, after) == (1, False)
    nan = ranking([math.nan], [-1])
    assert choose_probe(nan, nan) is None
    alone = ranking([1.0], [0], rival=[-1])
    assert choose_probe(alone, alone) is None


def test_images_are_spread_over_the_sorted_names():
    names = [f"{i:02d}" for i in range(40)]
    assert choose_images(names[::-1]) == ["05", "15", "25", "35"]
    assert choose_images(["b", "a"]) == ["a", "b"]
    assert choose_images([]) == []
