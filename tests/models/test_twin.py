"""A prepared copy that follows a training: as good as a new copy, at each step."""

import pytest
import torch
from test_prepare import Branches, NoCopy, random_statistics, torchreid_network
from torch import nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models import PixelModel
from torchreid_adv.models import twin as twins
from torchreid_adv.models.prepare import Prepared
from torchreid_adv.models.twin import Twin


class Rows(nn.Module):
    """A linear layer with BatchNorm, a buffer, a plain tensor and a setting."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.register_buffer("shift", torch.zeros(6))
        self.center = torch.zeros(6)
        self.scale = 1.0

    def forward(self, images):
        return self.layers(images) * self.scale + self.shift + self.center


NETWORKS = {
    "osnet": lambda: torchreid_network("osnet_x0_25"),
    "shufflenet": lambda: torchreid_network("shufflenet_v2_x0_5"),
    "branches": Branches,
    "rows": Rows,
}


def small(name):
    size = 32 if "net" in name else 8
    return random_statistics(NETWORKS[name]()), torch.rand(3, 3, size, size)


def pixel_model(network, images):
    return PixelModel(network, size=tuple(images.shape[2:]), mean=[0.0] * 3, std=[1.0] * 3)


def step(network, images):
    """Train a step, which changes weights and running statistics."""
    network.train()
    network(images).flatten(1).tanh().mean().backward()
    torch.optim.SGD(network.parameters(), 0.01).step()
    network.eval()


@pytest.fixture
def copied(monkeypatch):
    """How often a model was copied."""
    count = []

    class Counted(Prepared):
        def __init__(self, *args, **keywords):
            count.append(1)
            super().__init__(*args, **keywords)

    monkeypatch.setattr(twins, "Prepared", Counted)
    return count


@pytest.mark.parametrize(
    ("name", "precision"),
    [*((name, "fp32") for name in NETWORKS), ("branches", "bf16"), ("rows", "bf16")],
)
def test_it_has_the_bits_of_a_new_copy_after_each_step(name, precision, copied):
    network, images = small(name)
    model, twin = pixel_model(network, images), Twin(precision)
    before = []
    for _ in range(3):
        step(network, images)
        with torch.no_grad(), twin.prepared(model, images) as ready:
            ours = ready(images)
            new = Prepared(model, images, precision=precision)(images)
        assert torch.equal(ours, new)
        assert not any(torch.equal(ours, earlier) for earlier in before)
        before.append(ours)
    assert len(copied) == 1


def add_hook(network):
    network.register_forward_hook(lambda module, inputs, output: output * 2)


def replace_layer(network):
    network.layers[1] = nn.Linear(192, 6, bias=False)


def another_size(network):
    network.layers[1], network.layers[2] = nn.Linear(192, 9), nn.BatchNorm1d(9)
    network.shift, network.center = torch.zeros(9), torch.zeros(9)


CHANGES = {
    "setting": (lambda network: setattr(network, "scale", 3.0), 2),
    "hook": (add_hook, 2),
    "layer without bias": (replace_layer, 2),
    "another size": (another_size, 2),
    "buffer": (lambda network: network.shift.add_(2), 1),
    "replaced buffer": (lambda network: setattr(network, "shift", torch.ones(6)), 1),
    "plain tensor": (lambda network: setattr(network, "center", torch.ones(6)), 1),
    "running mean": (lambda network: network.layers[2].running_mean.add_(1), 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_is_seen(change, copied):
    network, images = small("rows")
    model, twin = pixel_model(network.eval(), images), Twin()
    with torch.no_grad():
        with twin.prepared(model, images) as ready:
            before = ready(images)
        function, copies = CHANGES[change]
        function(network)
        with twin.prepared(model, images) as ready:
            after = ready(images)
        expected = Prepared(model, images)(images)
    assert after.shape != before.shape or not torch.equal(after, before)
    assert torch.equal(after, expected)
    assert len(copied) == copies


def test_a_network_that_cannot_be_copied_is_used_itself():
    images = torch.rand(2, 3, 8, 8)
    model = pixel_model(NoCopy(nn.Flatten()), images)
    with Twin().prepared(model, images) as ready:
        assert ready is model
    with pytest.raises(ConfigError, match="cannot be copied"), Twin("bf16").prepared(model, images):
        pass
