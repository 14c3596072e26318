import pytest
import torch
from torch import nn

from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models import PixelModel
from torchreid_adv.models.prepare import NORMS, Prepared, fold_batchnorm, frozen, prepared


def random_statistics(network):
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, NORMS):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network


def count_norms(module):
    return sum(isinstance(part, NORMS) for part in module.modules())


def torchreid_network(name):
    models = torchreid_module("models")
    return random_statistics(
        models.build_model(name, num_classes=3, pretrained=False, use_gpu=False)
    )


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("osnet_x0_25", 0),
        ("osnet_ain_x0_25", 0),
        ("resnet50_fc512", 0),
        ("mobilenetv2_x1_0", 0),
        ("shufflenet_v2_x0_5", 0),
        ("pcb_p4", 1),  # inside layers that its test features do not use
    ],
)
def test_features_are_equal_after_folding(name, left):
    model = PixelModel(torchreid_network(name).eval(), size=(64, 32))
    images = torch.rand(3, 3, 48, 20)
    with torch.no_grad():
        before = model(images)
        ready = Prepared(model, images)
        after = ready(images)
    assert count_norms(ready) == left
    assert (before - after).abs().max() <= 1e-4 * before.abs().max()


class Branches(nn.Module):
    """A convolution with two readers, one called twice, and one that is followed by nothing."""

    def __init__(self):
        super().__init__()
        self.shared, self.twice, self.good = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(3))

    def forward(self, images):
        maps = self.shared(images)
        maps = torch.relu(self.norms[0](maps)) + maps
        maps = self.norms[1](self.twice(maps)) + self.twice(images)
        return self.norms[2](self.good(maps)).mean((2, 3))


def test_an_output_with_two_readers_is_not_folded():
    model = random_statistics(Branches()).eval()
    images = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        before = model(images)
        folded = len(fold_batchnorm(model, images))
        after = model(images)
    assert folded == 0
    assert torch.equal(before, after)


def test_a_norm_without_running_statistics_stays():
    network = nn.Sequential(
        nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten()
    )
    assert fold_batchnorm(network.eval(), torch.rand(2, 3, 8, 8)) == []


def flags(model):
    return [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]


def test_the_model_is_left_as_it_was():
    network = torchreid_network("osnet_x0_25").train()
    network.conv1.eval()
    network.classifier.weight.requires_grad_(False)
    network.classifier.bias.grad = torch.ones(3)
    before = flags(network)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random_state = torch.get_rng_state()
    with prepared(PixelModel(network, size=(64, 32)), torch.rand(2, 3, 20, 9)) as ready:
        ready(torch.rand(2, 3, 20, 9, requires_grad=True)).sum().backward()
    assert flags(network) == before
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(network.classifier.bias.grad, torch.ones(3))
    assert all(p.grad is None for n, p in network.named_parameters() if n != "classifier.bias")
    assert not torch.equal(torch.get_rng_state(), random_state)  # our own draws above


def test_frozen_restores_flags_after_an_error():
    network = torchreid_network("osnet_x0_25").train()
    network.conv1.eval()
    before = flags(network)

    def fail():
        with frozen(network):
            assert not network.training
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert flags(network) == before


class NoCopy(nn.Module):
    """A module that cannot be deep-copied."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def __deepcopy__(self, memo):
        raise TypeError("not me")

    def forward(self, images, sizes=None):
        return self.network(images)


def test_a_model_that_cannot_be_copied_is_used_itself_and_restored():
    network = NoCopy(nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(12, 2))).train()
    before = flags(network)
    with prepared(network, torch.rand(1, 3, 2, 2)) as ready:
        assert ready is network
        assert flags(network)[0] == [False] * len(before[0])
    assert flags(network) == before


def test_bf16_gives_fp32_features_near_those_of_fp32():
    model = PixelModel(torchreid_network("osnet_x0_25").eval(), size=(64, 32))
    images = torch.rand(3, 3, 48, 20)
    with torch.no_grad():
        half = Prepared(model, images, precision="bf16")(images)
        full = model(images)
    assert half.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(half, full).min() > 0.99
