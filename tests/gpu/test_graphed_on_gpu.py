"""Passes as CUDA graphs: the same bits, and no graph where passes are not the same."""

import pytest
import torch
from place import DEVICE
from torch import nn

from torchreid_adv.models import PixelModel
from torchreid_adv.models.cuda import Graphed
from torchreid_adv.models.loading import build_network
from torchreid_adv.models.prepare import Prepared

pytestmark = pytest.mark.gpu
SIZE = (64, 32)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network("osnet_x0_25").eval().requires_grad_(False).to(DEVICE)


def images(seed=0, count=4):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, *SIZE, generator=draw).to(DEVICE).requires_grad_()


def passed(network, seed):
    pixels = images(seed)
    features = network(pixels)
    return features.detach(), torch.autograd.grad(features.square().sum(), pixels)[0]


def graphs(graphed):
    return [graph for graph in graphed._graphs.values() if graph is not None]


def alike(found, wanted):
    features, gradient = found
    size = float(wanted[1].abs().max())
    return torch.equal(features, wanted[0]) and torch.allclose(
        gradient, wanted[1], rtol=0, atol=1e-3 * size
    )


def test_replays_give_what_passes_give(network):
    graphed = Graphed(network)
    for seed in range(6):
        assert alike(passed(graphed, seed), passed(network, seed)), seed
    assert len(graphs(graphed)) == (DEVICE == "cuda")
    with torch.no_grad():
        assert torch.equal(graphed(images(9)), network(images(9)))


def warm(network):
    graphed = Graphed(network)
    for seed in range(4):
        passed(graphed, seed)
    return graphed


def test_passes_may_overlap(network):
    graphed, one, two = warm(network), images(1), images(2)
    first, second = graphed(one), graphed(two)
    gradients = torch.autograd.grad(first.square().sum() + second.square().sum(), [one, two])
    for seed, gradient in ((1, gradients[0]), (2, gradients[1])):
        assert alike((network(images(seed)).detach(), gradient), passed(network, seed))


def test_a_pass_may_be_differentiated_again(network):
    graphed, pixels = warm(network), images(1)
    total = graphed(pixels).square().sum()
    for _ in range(2):
        (gradient,) = torch.autograd.grad(total, pixels, retain_graph=True)
        assert alike((network(pixels).detach(), gradient), passed(network, 1))


def test_weights_that_change_in_place_count(network):
    graphed = warm(network)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1.01)
    graphed.refresh()
    assert len(graphs(graphed)) == (DEVICE == "cuda")
    assert alike(passed(graphed, 7), passed(network, 7))


def test_weights_elsewhere_are_seen(network):
    graphed = warm(network)
    weight = next(network.parameters())
    weight.data = weight.data * 1.5
    graphed.refresh()
    assert not graphs(graphed)
    assert alike(passed(graphed, 7), passed(network, 7))


class Odd(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network, self.calls = network, 0


class Random(Odd):
    def forward(self, images):
        return self.network(images + 0.1 * torch.rand_like(images))


class Counting(Odd):
    def forward(self, images):
        self.calls += 1
        return self.network(images) * self.calls


class Waiting(Odd):
    def forward(self, images):
        return self.network(images) * (2 if float(images.mean()) > 0.4 else 1)


class Flipping(Odd):
    """Decides by a number that the CPU draws."""

    def forward(self, images):
        return self.network(images * (1 + float(torch.rand(()))))


@pytest.mark.parametrize("kind", [Random, Counting, Waiting, Flipping])
def test_what_is_not_the_same_each_time_is_never_replayed(network, kind):
    graphed = Graphed(kind(network))
    for seed in range(5):
        passed(graphed, seed)
    assert not graphs(graphed)


def test_a_rejected_network_draws_as_if_nobody_had_looked(network):
    def drawn(wrapped):
        torch.manual_seed(3)
        torch.cuda.manual_seed_all(3)
        return [passed(wrapped, 0)[0] for _ in range(5)]

    for found, wanted in zip(drawn(Graphed(Random(network))), drawn(Random(network)), strict=True):
        assert torch.equal(found, wanted)


def test_a_prepared_model_replays(network):
    model = PixelModel(network, size=SIZE)
    ready = Prepared(model, images().detach())
    plain = Prepared(model, images().detach(), graphs=False)
    for seed in range(5):
        assert alike(passed(ready, seed), passed(plain, seed))
    found = [part for part in ready.modules() if isinstance(part, Graphed)]
    assert [len(graphs(part)) for part in found] == ([1] if DEVICE == "cuda" else [])
