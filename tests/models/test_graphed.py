"""What stands for a network on a GPU is the network itself on a CPU; copies record anew."""

import copy

import torch
from torch import nn

from torchreid_adv.models import PixelModel
from torchreid_adv.models.cuda import Graphed
from torchreid_adv.models.prepare import Ready, prepared


def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers).eval().requires_grad_(False)


def test_on_a_cpu_it_is_the_network_with_all_its_derivatives():
    plain = network()
    graphed, images = Graphed(plain), torch.rand(2, 3, 8, 6, requires_grad=True)
    for _ in range(5):
        features = graphed(images)
    assert torch.equal(features, plain(images))
    (first,) = torch.autograd.grad(features.square().sum(), images, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), images)
    assert second.abs().sum() > 0
    assert not graphed._graphs


def test_a_copy_records_anew():
    graphed = Graphed(network())
    graphed._seen["shape"], graphed._graphs["shape"] = 3, None
    again = copy.deepcopy(graphed)
    assert not again._seen
    assert not again._graphs
    assert graphed._seen["shape"] == 3
    images = torch.rand(2, 3, 8, 6)
    assert torch.equal(again(images), graphed(images))


def test_what_is_ready_is_used_as_it_is():
    model = Ready(PixelModel(network(), size=(8, 6)))
    with prepared(model, torch.rand(1, 3, 8, 6)) as ready:
        assert ready is model
