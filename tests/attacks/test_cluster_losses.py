"""UAP-Retrieval's label-wise and list-wise losses against loops in float64."""

import functools
import math

import pytest
import torch

from torchreid_adv.attacks import SignStep, UniversalFit, UniversalPerturbation
from torchreid_adv.attacks.learned.triplets import CentroidTriplet
from torchreid_adv.attacks.learned.uap_retrieval import LabelHinge, ListReversal, Summed
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel

WIDE = 12  # numbers of a feature


def embed(images):
    return images.flatten(1)


def setting(seed=0, centers=7):
    draws = torch.Generator().manual_seed(seed)
    clean, moved = (torch.rand(5, 3, 2, 2, generator=draws, dtype=torch.float64) for _ in "ab")
    return clean, moved, torch.rand(centers, WIDE, generator=draws, dtype=torch.float64)


def nearest_first(feature, centers):
    return sorted(range(len(centers)), key=lambda k: float((feature - centers[k]).norm()))


@pytest.mark.parametrize("normalize", [True, False])
def test_a_label_counts_until_another_cluster_is_nearer(normalize):
    distance = build_distance("euclidean", normalize=normalize)
    clean, moved, centers = setting()
    moved[:3] = 0.8 * clean[:3] + 0.2 * moved[:3]
    found = LabelHinge(distance, centers).bind(embed, Batch(clean))(moved)
    for row in range(5):
        before, after = (distance.map(embed(x[row : row + 1]))[0] for x in (clean, moved))
        own = nearest_first(before, centers)[0]
        logits = [
            sum(2 * float(f) * float(c) for f, c in zip(after, center, strict=True))
            - sum(float(c) ** 2 for c in center)
            for center in centers
        ]
        lead = logits[own] - max(v for k, v in enumerate(logits) if k != own)
        assert float(found[row]) == pytest.approx(-max(lead, 0.0), abs=1e-12)
        assert (lead > 0) == (nearest_first(after, centers)[0] == own)
    assert (found < 0).any()
    assert (found == 0).any()


def lambdas(before, after, centers, listed):
    """LambdaRank's cost and its gradient by the distances, pair by pair."""
    order = nearest_first(before, centers)
    count = min(listed, len(order))
    chosen = [order[round(n * (len(order) - 1) / (count - 1))] for n in range(count)]
    relevance = [n / (count - 1) for n in range(count)]
    apart = [float((after - centers[k]).norm()) for k in chosen]
    places = sorted(range(count), key=lambda n: apart[n])
    discount = [1 / math.log2(places.index(n) + 2) for n in range(count)]
    ideal = sum(r / math.log2(n + 2) for n, r in enumerate(sorted(relevance, reverse=True)))
    cost, slope = 0.0, [0.0] * count
    for a in range(count):
        for b in range(count):
            if relevance[a] > relevance[b]:
                change = (relevance[a] - relevance[b]) * abs(discount[a] - discount[b]) / ideal
                cost += change * math.log(1 + math.exp(apart[a] - apart[b]))
                pull = change / (1 + math.exp(apart[b] - apart[a]))
                slope[a] += pull
                slope[b] -= pull
    gradient = sum(
        s * (after - centers[k]) / d for s, k, d in zip(slope, chosen, apart, strict=True)
    )
    return cost, gradient


@pytest.mark.parametrize("listed", [3, 7, 64])
def test_the_cost_and_gradient_of_a_list_are_those_of_pairs(listed):
    clean, moved, centers = setting()
    moved.requires_grad_()
    objective = ListReversal(build_distance("euclidean"), centers, listed=listed)
    found = objective.bind(embed, Batch(clean))(moved)
    (slope,) = torch.autograd.grad(found.sum(), moved)
    for row in range(5):
        before, after = clean[row].flatten(), moved[row].detach().flatten()
        cost, gradient = lambdas(before, after, centers, listed)
        assert float(found[row].detach()) == pytest.approx(-cost)
        torch.testing.assert_close(slope[row].flatten(), -gradient)


def test_a_list_is_costliest_as_it_was_and_free_when_reversed():
    centers = torch.arange(6.0, dtype=torch.float64)[:, None] * torch.tensor([[4.0, 0, 0]])
    objective = ListReversal(build_distance("euclidean"), centers)
    losses = objective.bind(lambda x: x.flatten(1) * 20, Batch(torch.zeros(1, 3, 1, 1).double()))
    place = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    costs = [-float(losses(torch.tensor([[p, 0, 0]]).view(1, 3, 1, 1))[0]) for p in place]
    assert costs[0] > costs[1] > costs[2]
    assert costs[2] < 0.05


@pytest.mark.parametrize("loss", [LabelHinge, ListReversal])
def test_a_universal_delta_learns_them(loss):
    clean, _, centers = setting()
    model = PixelModel(torch.nn.Flatten(), size=(2, 2), mean=(0, 0, 0), std=(1, 1, 1))
    objective, data = loss(build_distance("euclidean"), centers), Batch(clean)
    step = functools.partial(SignStep, lr=0.02, momentum=1.0)
    own = UniversalPerturbation(0.1, kind="delta", size=(2, 2)).double()
    learned = UniversalFit(objective, own, step).fit(model, [data], epochs=5)
    losses = objective.bind(model, data)
    assert losses(learned(clean)).mean() > losses(clean).mean()
    assert objective.describe()["centroids"] == 7


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="two centers"):
        LabelHinge(build_distance("euclidean"), torch.zeros(1, WIDE))


def test_losses_can_be_summed():
    distance = build_distance("euclidean")
    clean, moved, centers = setting()
    moved = 0.8 * clean + 0.2 * moved
    parts = [CentroidTriplet(distance, centers, margin=10.0)]
    parts += [LabelHinge(distance, centers), ListReversal(distance, centers)]
    alone = [part.bind(embed, Batch(clean))(moved) for part in parts]
    found = Summed(parts).bind(embed, Batch(clean))(moved)
    assert found.shape == (5,)
    torch.testing.assert_close(found, alone[0] + alone[1] + alone[2])
    assert all(one.abs().max() > 0 for one in alone)
    assert Summed(parts).scope == "image"
