"""Rankings of the report against a slow loop and against torchreid's own evaluation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from torchreid_adv.distances import build_distance
from torchreid_adv.evaluation import Protocol
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.features import Features
from torchreid_adv.report.survey import choose_rows, rank, take


def rules(name, **others):
    return Protocol(distance=build_distance(name), **others)


class Bar:
    count = 0

    def update(self, n):
        self.count += n


def features(rows, people, seed, side):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, 7, generator=generator)
    pids = torch.randint(people, (rows,), generator=generator)
    camids = torch.randint(3, (rows,), generator=generator)
    return Features(values, pids, camids, tuple(f"{side}{i}" for i in range(rows)))


def slow_ranking(query, gallery, row):
    """One query, in float64 and by sorting a Python list."""
    found = []
    for i in range(len(gallery)):
        same = bool(query.pids[row] == gallery.pids[i])
        if same and query.camids[row] == gallery.camids[i]:
            continue
        gap = query.values[row].double() - gallery.values[i].double()
        found.append((float(gap @ gap), i, same))
    found.sort()
    hits = [place for place, (_, _, same) in enumerate(found) if same]
    precisions = [(n + 1) / (place + 1) for n, place in enumerate(hits)]
    rival = next(((d, i) for d, i, same in found if not same), (math.inf, -1))
    return {
        "ap": sum(precisions) / len(precisions) if precisions else math.nan,
        "first": hits[0] if hits else -1,
        "match": found[hits[0]][1] if hits else -1,
        "rival": rival[1],
        "rival_distance": rival[0],
        "positives": [found[place][0] for place in hits],
    }


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_agrees_with_a_slow_loop(block):
    query, gallery = features(13, 9, 1, "q"), features(31, 9, 2, "g")
    bar = Bar()
    found = rank(query, gallery, rules("euclidean", block=block), bar=bar)
    positives = []
    for row in range(13):
        slow = slow_ranking(query, gallery, row)
        assert float(found.average_precision[row]) == pytest.approx(slow["ap"], nan_ok=True)
        assert int(found.first[row]) == slow["first"]
        assert int(found.match[row]) == slow["match"]
        assert int(found.rival[row]) == slow["rival"]
        assert float(found.rival_distance[row]) == pytest.approx(slow["rival_distance"], rel=1e-4)
        positives += slow["positives"]
    assert sorted(found.positives.tolist()) == pytest.approx(sorted(positives), rel=1e-4)
    assert bar.count == 13


def test_agrees_with_torchreid():
    evaluate_rank = torchreid_module("metrics.rank").evaluate_rank
    query, gallery = features(40, 8, 3, "q"), features(120, 8, 4, "g")
    distance = build_distance("cosine")
    found = rank(query, gallery, Protocol(distance=distance), bar=Bar())
    cmc, mean_ap = evaluate_rank(
        distance(query.values, gallery.values).numpy(),
        query.pids.numpy(), gallery.pids.numpy(), query.camids.numpy(), gallery.camids.numpy(),
        use_cython=False,
    )  # fmt: skip
    first = found.first[found.first >= 0].numpy()
    assert float(found.average_precision.nanmean()) == pytest.approx(mean_ap, abs=1e-9)
    assert [(first < k).mean() for k in range(1, 21)] == pytest.approx(np.array(cmc[:20]))


def test_taking_rows():
    query, gallery = features(9, 5, 5, "q"), features(20, 5, 6, "g")
    every = rank(query, gallery, rules("cosine"), bar=Bar())
    some = take(query, torch.tensor([2, 7]))
    assert some.image_ids == ("q2", "q7")
    assert torch.equal(rank(some, gallery, rules("cosine"), bar=Bar()).first, every.first[[2, 7]])


def test_of_equally_near_images_the_earlier_one_counts():
    query = Features(torch.zeros(1, 2), torch.tensor([1]), torch.tensor([0]), ("q",))
    pids, camids = torch.tensor([2, 1, 1, 2]), torch.tensor([1, 1, 2, 1])
    gallery = Features(torch.ones(4, 2), pids, camids, tuple("abcd"))
    for block in (1, 2, 4):
        found = rank(query, gallery, rules("euclidean", block=block), bar=Bar())
        assert found.match.tolist() == [1]
        assert found.rival.tolist() == [0]
        assert found.first.tolist() == [1]


def test_a_query_without_a_positive():
    query = Features(torch.eye(2), torch.tensor([1, 2]), torch.tensor([0, 0]), ("a", "b"))
    # the first gallery image is junk for the first query; the second is right for the second
    gallery = Features(torch.eye(2), torch.tensor([1, 2]), torch.tensor([0, 1]), ("c", "d"))
    found = rank(query, gallery, rules("euclidean"), bar=Bar())
    assert math.isnan(found.average_precision[0])
    assert found.average_precision[1] == 1
    assert found.first.tolist() == [-1, 0]
    assert found.match.tolist() == [-1, 1]
    assert found.rival.tolist() == [1, 0]


def test_no_negative_at_all():
    one = Features(torch.ones(1, 2), torch.tensor([1]), torch.tensor([0]), ("q",))
    gallery = Features(torch.ones(1, 2), torch.tensor([1]), torch.tensor([1]), ("g",))
    found = rank(one, gallery, rules("euclidean"), bar=Bar())
    assert found.rival.tolist() == [-1]
    assert torch.isinf(found.rival_distance).all()


def test_rows_are_all_or_a_seeded_sample(monkeypatch):
    assert choose_rows(300, 1_000_000).tolist() == list(range(300))
    assert choose_rows(3_368, 19_732).tolist() == list(range(3_368))
    sample = choose_rows(11_659, 82_161)
    assert len(sample) == 100_000_000 // 82_161
    assert len(set(sample.tolist())) == len(sample)
    assert sample.tolist() == sorted(sample.tolist())
    assert torch.equal(sample, choose_rows(11_659, 82_161))
    assert not torch.equal(sample, choose_rows(11_659, 82_161, seed=1))
    assert len(choose_rows(5_000, 10_000_000)) == 500
