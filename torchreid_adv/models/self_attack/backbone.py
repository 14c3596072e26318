"""A ResNet in parts: the stem that each modality has of its own, and the layers."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision import models

from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.integration.checkpoints import load_weights, read_checkpoint
from torchreid_adv.integration.downloads import published_weights

WEIGHTS = {
    "resnet18": models.ResNet18_Weights.IMAGENET1K_V1,
    "resnet34": models.ResNet34_Weights.IMAGENET1K_V1,
    "resnet50": models.ResNet50_Weights.IMAGENET1K_V1,
}


def resnet(name: str, *, pretrained: bool, weights: str = "") -> Any:
    """Return a ResNet whose last layer keeps the size of its input.

    Args:
        name: ``resnet18``, ``resnet34`` or ``resnet50``.
        pretrained: with torchvision's ImageNet weights, from where torch's hub keeps them.
        weights: checkpoint of the same ResNet to take in their place.

    Raises:
        ConfigError: another name, weights that are not there, or a checkpoint of something else.
    """
    if name not in WEIGHTS:
        raise ConfigError(f"unknown backbone '{name}'{suggest(name, WEIGHTS)}")
    network = getattr(models, name)(weights=None)
    if pretrained and not weights:
        network.load_state_dict(read_checkpoint(published_weights(WEIGHTS[name].url)))
    if weights:
        network.fc = nn.Identity()  # the classifier, by torchvision's name
        load_weights(network, weights)
    for module in network.layer4.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    return network


def stem(network: Any) -> nn.Sequential:
    """Return the first convolution with what follows it, up to the first layer."""
    return nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)


def layers(network: Any, *numbers: int) -> nn.Sequential:
    """Return some of the four layers, one behind the other."""
    return nn.Sequential(*(getattr(network, f"layer{number}") for number in numbers))


def width(network: Any, number: int) -> int:
    """Return the channels that a layer gives."""
    last = getattr(network, f"layer{number}")[-1]
    norm = last.bn3 if hasattr(last, "bn3") else last.bn2
    return int(norm.num_features)
