"""The mAP of a random order, against all orders of a small gallery."""

from itertools import permutations

import pytest
import torch

from torchreid_adv.evaluation import evaluate_matrix
from torchreid_adv.evaluation.chance import chance, expected_average_precision


def precision(order):
    hits = [place for place, positive in enumerate(order, 1) if positive]
    return sum(rank / place for rank, place in enumerate(hits, 1)) / len(hits)


@pytest.mark.parametrize(("positives", "images"), [(1, 1), (1, 5), (2, 6), (4, 6), (6, 6)])
def test_it_is_the_mean_over_all_orders(positives, images):
    orders = list(permutations([1] * positives + [0] * (images - positives)))
    mean = sum(map(precision, orders)) / len(orders)
    assert expected_average_precision(positives, images) == pytest.approx(mean)


def test_what_does_not_count_is_left_out():
    """Of two people by two cameras, each search has one positive among three images."""
    query = [(1, 0), (2, 1), (9, 0)]
    gallery = [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert chance(query, gallery) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    every = chance(query, gallery, same_camera=False)
    assert every == pytest.approx(expected_average_precision(2, 4))
    generator = torch.Generator().manual_seed(0)
    sides = [list(part) for side in (query, gallery) for part in zip(*side, strict=True)]
    pids, camids, others, views = sides
    draws = [
        evaluate_matrix(torch.rand(3, 4, generator=generator), pids, others, camids, views).mAP
        for _ in range(400)
    ]
    assert sum(draws) / len(draws) == pytest.approx(chance(query, gallery), abs=0.04)
