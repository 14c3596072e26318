import pytest
import torch

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models import fingerprint, load_model
from torchreid_adv.models.loading import build_network


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    network = torchreid_module("models").build_model(
        "osnet_x0_25", num_classes=7, pretrained=False, use_gpu=False
    )
    torch.save({"state_dict": network.state_dict(), "epoch": 3}, tmp_path / "model.pth.tar-3")
    return network, tmp_path / "model.pth.tar-3"


def test_features_are_those_of_the_saved_network(checkpoint):
    network, path = checkpoint
    images = torch.rand(2, 3, 64, 32)
    model = load_model("osnet_x0_25", path, size=(64, 32), device="cpu")
    expected = network.eval()(model.normalize(images))
    assert torch.equal(model(images), expected)
    assert not model.training


def test_the_fingerprint_is_that_of_the_weights_and_of_nothing_random(checkpoint):
    network, path = checkpoint
    loaded = [load_model("osnet_x0_25", path, device="cpu").network for _ in range(2)]
    assert fingerprint(loaded[0]) == fingerprint(loaded[1]) == fingerprint(network)
    loaded[1].conv1.conv.weight.data[0, 0, 0, 0] += 1
    assert fingerprint(loaded[1]) != fingerprint(network)


def test_the_classifier_and_the_buffers_are_part_of_the_fingerprint(checkpoint):
    _, path = checkpoint
    network = load_model("osnet_x0_25", path, device="cpu").network
    before = fingerprint(network)
    assert network.classifier.weight.shape[0] == 7
    for change in (
        network.classifier.weight,
        network.classifier.bias,
        network.conv1.bn.running_var,
    ):
        kept = change.detach().clone()
        change.data += 1
        assert fingerprint(network) != before
        change.data = kept
        assert fingerprint(network) == before


HEADS = {
    "none": lambda state: {k: v for k, v in state.items() if "classifier" not in k},
    "of other identities": lambda state: {
        **state,
        "classifier.weight": torch.zeros(9, state["classifier.weight"].shape[1]),
        "classifier.bias": torch.zeros(9),
    },
    "without bias": lambda state: {k: v for k, v in state.items() if k != "classifier.bias"},
}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("name", ["osnet_x0_25", "shufflenet"])
def test_a_classifier_that_the_checkpoint_lacks_is_the_same_in_every_load(tmp_path, name, kind):
    """Whatever was drawn before; and drawing goes on as if nothing had been loaded."""
    network = build_network(name, classes=7)
    state = HEADS[kind](network.state_dict())
    torch.save(state, tmp_path / "model.pth")
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(fingerprint(load_model(name, tmp_path / "model.pth", device="cpu").network))
        drawn = torch.rand(3)
        torch.manual_seed(seed)
        assert torch.equal(drawn, torch.rand(3))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["osnet_x0_25", "shufflenet"])
def test_a_classifier_for_features_of_another_size_is_refused(tmp_path, name):
    """Otherwise a network that joins its maps in another way would give other features."""
    state = build_network(name, classes=7).state_dict()
    torch.save(state | {"classifier.weight": torch.zeros(7, 3)}, tmp_path / "model.pth")
    with pytest.raises(ConfigError, match=r"classifier\.weight"):
        load_model(name, tmp_path / "model.pth", device="cpu")


def test_an_unknown_network_is_named():
    with pytest.raises(ConfigError, match="did you mean 'osnet_x0_25'"):
        build_network("osnet_x0_26")
