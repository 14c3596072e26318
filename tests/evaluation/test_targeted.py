import numpy as np
import pytest
import torch

from torchreid_adv.distances import build_distance
from torchreid_adv.evaluation import Protocol
from torchreid_adv.evaluation.targeted import success, target_ranks
from torchreid_adv.models import Features


def features(seed, count, prefix):
    draw = torch.Generator().manual_seed(seed)
    pids = torch.randint(5, (count,), generator=draw)
    camids = torch.randint(3, (count,), generator=draw)
    names = tuple(f"{prefix}{row}" for row in range(count))
    return Features(torch.randn(count, 4, generator=draw), pids, camids, names)


def slow(query, gallery, targets):
    """Sort every list and look the pulled images up in it."""
    apart = torch.cdist(query.values.double(), gallery.values.double()).numpy()
    best = {}
    for q in range(len(query)):
        pid, camid = int(query.pids[q]), int(query.camids[q])
        listed = [
            g
            for g in np.argsort(apart[q], kind="stable")
            if not (gallery.pids[g] == pid and gallery.camids[g] == camid)
        ]
        for rank, g in enumerate(listed):
            pulled = {
                gallery.image_ids[g]: targets.get(gallery.image_ids[g]) == pid,
                query.image_ids[q]: targets.get(query.image_ids[q]) == int(gallery.pids[g]),
            }
            for name, is_so in pulled.items():
                if is_so:
                    best[name] = min(rank, best.get(name, rank))
    return best


@pytest.mark.parametrize("block", [7, 1000])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_ranks_are_those_of_sorted_lists(side, block):
    query, gallery = features(0, 12, "q"), features(1, 40, "g")
    names = (query if side == "query" else gallery).image_ids
    targets = {name: number % 5 for number, name in enumerate(names)}
    protocol = Protocol(distance=build_distance("euclidean"), block=block)
    assert target_ranks(query, gallery, targets, protocol) == slow(query, gallery, targets)


def test_success_counts_all_pulled_images():
    found = success({"a": 0, "b": 4, "c": 30}, total=4)
    assert found["success"] == {"1": 0.25, "5": 0.5, "10": 0.5, "20": 0.5}
    assert found["median_rank"] == 5
    assert success({}, total=2)["median_rank"] is None
