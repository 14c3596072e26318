"""Rankings of the report against a slow loop and against torchreid's own evaluation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from torchreid_adv.distances import build_distance
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.features import Features
from torchreid_adv.report import ranking
from torchreid_adv.report.ranking import Ranking, choose_rows, rank


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


def slow_ranking(query, gallery, row, k):
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
    return {
        "ap": sum(precisions) / len(precisions) if precisions else math.nan,
        "first": hits[0] if hits else -1,
        "match": found[hits[0]][1] if hits else -1,
        "rival": next((i for _, i, same in found if not same), -1),
        "top": [i for _, i, _ in found[:k]],
        "top_distance": [d for d, _, _ in found[:k]],
        "positives": [found[place][0] for place in hits],
    }


@pytest.mark.parametrize("pairs", [1, 100, 4_000_000])
def test_agrees_with_a_slow_loop(monkeypatch, pairs):
    monkeypatch.setattr(ranking, "CHUNK_PAIRS", pairs)
    query, gallery = features(13, 9, 1, "q"), features(31, 9, 2, "g")
    bar = Bar()
    found = rank(query, gallery, torch.arange(13), build_distance("euclidean"), k=4, bar=bar)
    positives = []
    for row in range(13):
        slow = slow_ranking(query, gallery, row, 4)
        assert float(found.average_precision[row]) == pytest.approx(slow["ap"], nan_ok=True)
        assert int(found.first[row]) == slow["first"]
        assert int(found.match[row]) == slow["match"]
        assert int(found.rival[row]) == slow["rival"]
        assert found.top[row].tolist() == slow["top"]
        assert found.top_distance[row].tolist() == pytest.approx(slow["top_distance"], rel=1e-4)
        positives += slow["positives"]
    assert sorted(found.positives.tolist()) == pytest.approx(sorted(positives), rel=1e-4)
    assert bar.count == 13


def test_agrees_with_torchreid():
    evaluate_rank = torchreid_module("metrics.rank").evaluate_rank
    query, gallery = features(40, 8, 3, "q"), features(120, 8, 4, "g")
    distance = build_distance("cosine")
    found = rank(query, gallery, torch.arange(40), distance, bar=Bar())
    cmc, mean_ap = evaluate_rank(
        distance(query.values, gallery.values).numpy(),
        query.pids.numpy(), gallery.pids.numpy(), query.camids.numpy(), gallery.camids.numpy(),
        use_cython=False,
    )  # fmt: skip
    first = found.first[found.first >= 0].numpy()
    assert float(found.average_precision.nanmean()) == pytest.approx(mean_ap, abs=1e-9)
    assert [(first < k).mean() for k in range(1, 21)] == pytest.approx(np.array(cmc[:20]))


def test_only_the_wanted_rows_in_their_order():
    query, gallery = features(9, 5, 5, "q"), features(20, 5, 6, "g")
    distance = build_distance("cosine")
    every = rank(query, gallery, torch.arange(9), distance, bar=Bar())
    some = rank(query, gallery, torch.tensor([2, 7]), distance, bar=Bar())
    assert torch.equal(some.top, every.top[[2, 7]])
    assert torch.equal(some.first, every.first[[2, 7]])


def test_a_query_without_a_positive_and_a_gallery_shorter_than_a_list():
    query = Features(torch.eye(2), torch.tensor([1, 2]), torch.tensor([0, 0]), ("a", "b"))
    # the first gallery image is junk for the first query; the second is right for the second
    gallery = Features(torch.eye(2), torch.tensor([1, 2]), torch.tensor([0, 1]), ("c", "d"))
    found = rank(query, gallery, torch.arange(2), build_distance("euclidean"), k=3, bar=Bar())
    assert math.isnan(found.average_precision[0])
    assert found.average_precision[1] == 1
    assert found.first.tolist() == [-1, 0]
    assert found.match.tolist() == [-1, 1]
    assert found.rival.tolist() == [1, 0]
    assert found.top.tolist() == [[1, -1], [1, 0]]


def test_no_negative_at_all():
    one = Features(torch.ones(1, 2), torch.tensor([1]), torch.tensor([0]), ("q",))
    gallery = Features(torch.ones(1, 2), torch.tensor([1]), torch.tensor([1]), ("g",))
    found: Ranking = rank(one, gallery, torch.arange(1), build_distance("euclidean"), bar=Bar())
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
