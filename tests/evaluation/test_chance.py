"""The mAP of a random order, against all orders of a small gallery and against many draws."""

from itertools import permutations

import numpy as np
import pytest
import torch

from torchreid_adv.distances import build_distance
from torchreid_adv.evaluation import Protocol, evaluate
from torchreid_adv.evaluation.metrics import expected_precision
from torchreid_adv.models import Features


def standard(order):
    hits = [place for place, positive in enumerate(order, 1) if positive]
    return sum(rank / place for rank, place in enumerate(hits, 1)) / len(hits)


def trapezoid(order):
    hits = [place for place, positive in enumerate(order) if positive]
    before = [1 if place == 0 else rank / place for rank, place in enumerate(hits)]
    return (standard(order) + sum(before) / len(hits)) / 2


@pytest.mark.parametrize("rule", [standard, trapezoid])
@pytest.mark.parametrize(("positives", "images"), [(1, 1), (1, 5), (2, 6), (4, 6), (6, 6)])
def test_it_is_the_mean_over_all_orders(positives, images, rule):
    orders = list(permutations([1] * positives + [0] * (images - positives)))
    mean = sum(map(rule, orders)) / len(orders)
    counts = np.array([positives]), np.array([images])
    found = expected_precision(*counts, ap_rule=rule.__name__)
    assert found == pytest.approx([mean])


def side(labels, seed=0):
    pids, camids = torch.tensor(labels).T
    values = torch.randn(len(labels), 12, generator=torch.Generator().manual_seed(seed))
    return Features(values, pids, camids, tuple(map(str, range(len(labels)))))


LABELS = [(pid, camid) for pid in range(4) for camid in (0, 1, 2, 3) for _ in range(2)]


@pytest.mark.parametrize("rule", ["standard", "trapezoid"])
@pytest.mark.parametrize(
    "name", ["market1501", "cuhk03", "sysu_mm01", "regdb", "llcm", "bupt_campus"]
)
def test_it_is_what_random_features_score(name, rule):
    """Each protocol leaves out other gallery images, and draws other galleries."""
    queries = [(0, 2), (1, 0), (2, 2), (3, 1), (9, 0)]
    protocol = Protocol(distance=build_distance("euclidean"), name=name, ap_rule=rule)
    expected = protocol.chances(side(queries), side(LABELS))
    assert np.isnan(expected[-1])
    draws = [
        evaluate(side(queries, n), side(LABELS, n + 500), protocol=name, ap_rule=rule).mAP
        for n in range(24)
    ]
    assert np.mean(draws) == pytest.approx(np.nanmean(expected), abs=0.04)
