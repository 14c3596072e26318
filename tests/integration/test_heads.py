"""What features do not depend on: the trial of a network against changed weights."""

import pytest
import torch
from torch import nn

from torchreid_adv.integration.heads import counters, identity_layers, unused_by_features
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.loading import build_network
from torchreid_adv.registry import MODELS

FEW = ("resnet18", "osnet_x0_25", "pcb_p4", "hacnn", "mudeep", "mlfn", "squeezenet1_0")
OURS = ("ide_resnet50", "pcb_resnet50", "sb_resnet50", "agw_two_stream")
VIDEO = ("self_attack_video_resnet18",)
SIZES = {"hacnn": (160, 64), "mudeep": (256, 128)}
SIZES |= dict.fromkeys(("inceptionresnetv2", "inceptionv4", "xception"), (160, 96))


def others():
    known = [*vars(torchreid_module("models"))["__model_factory"], *MODELS]
    return [n for n in dict.fromkeys(known) if n not in FEW + OURS + VIDEO]


def answers(network, name):
    """Return features for all kinds of images that the network tells apart."""
    size = SIZES.get(name, (64, 32))
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    modality = torch.tensor([0, 1])
    with torch.no_grad():
        if name in VIDEO or name.startswith("self_attack"):
            clips = images[:, None].repeat(1, 2, 1, 1, 1)
            return torch.cat([network(clips), network(clips, modality)])
        if name != "agw_two_stream":
            return network(images)
        plane = modality.to(images).view(2, 1, 1, 1).expand_as(images[:, :1])
        return torch.cat([network(images), network(torch.cat([images, plane], 1))])


def settled(network):
    """Draw the statistics of norms, or features of random weights are all zero."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


def check(name):
    torch.manual_seed(1)
    network, more = settled(build_network(name, classes=3)), build_network(name, classes=4)
    unused, reason = unused_by_features(network)
    tensors = network.state_dict()
    assert not reason
    of_identities = {n for n, v in more.state_dict().items() if v.shape != tensors[n].shape}
    layers = identity_layers(network).items()
    assert of_identities == {f"{n}.{p}" for n, m in layers for p, _ in m.named_parameters()}
    assert of_identities | counters(network) <= unused
    before = answers(network, name)
    kept = {n: v.clone() for n, v in tensors.items()}
    for n in unused:
        tensors[n].fill_(7) if n in counters(network) else tensors[n].fill_(float("nan"))
    assert torch.equal(answers(network, name), before)  # whatever is in them
    network.load_state_dict(kept)
    return network, unused, before


def check_needed(name, network, unused, before, step):
    """Some of the other tensors, changed one by one, change features."""
    for n, value in list(network.state_dict().items())[::step]:
        if n in unused:
            continue
        original = value.clone()
        value.fill_(float("nan"))
        assert not torch.equal(answers(network, name), before), n
        value.copy_(original)


@pytest.mark.parametrize("name", ["squeezenet1_0", "osnet_x0_25"])
def test_features_depend_on_all_but_what_is_unused(name):
    network, unused, before = check(name)
    check_needed(name, network, unused, before, step=30)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FEW, *OURS, *VIDEO, *others()])
def test_every_network_of_torchreid_and_ours(name):
    network, unused, before = check(name)
    check_needed(name, network, unused, before, step=7)


class Detached(nn.Module):
    """Uses one layer where autograd does not see it, and calls another one in vain."""

    def __init__(self):
        super().__init__()
        self.seen, self.hidden, self.vain = (nn.Linear(3, 3) for _ in range(3))

    def forward(self, images):
        pooled = images.mean((2, 3))
        self.vain(pooled)
        scale = float(self.hidden.bias[0])
        return nn.functional.linear(self.seen(pooled), self.hidden.weight.detach()) * scale


def test_detached_weights_are_used_and_results_in_vain_are_not():
    network = Detached()
    unused, _ = unused_by_features(network)
    assert unused == {"vain.weight", "vain.bias"}


def test_why_a_network_cannot_be_tried_is_said():
    class Fails(Detached):
        def forward(self, images, cameras):
            return super().forward(images)

    unused, reason = unused_by_features(Fails())
    assert not unused
    assert "cameras" in reason
