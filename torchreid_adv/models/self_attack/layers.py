"""The video network's layers: residual attention, the ResNet's stages, FRM-STIG's guidance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.integration.checkpoints import load_weights, read_checkpoint
from torchreid_adv.integration.downloads import published_weights


class ResidualAttention(nn.Module):
    """``x + BN(W softmax(q(x) k(y)^T / sqrt(d)) v(y))`` over the positions of two maps of a frame.

    With ``y = x`` and pooled keys this is the paper's intra-modality self-attention (IMSA, eq. 2),
    with maps of two modalities its cross-modality cross-attention (CMCA, eq. 7). BN's gain starts
    at zero, so training starts at the backbone. Only the paper's figures 3 and 4 show the inside;
    queries from the map that is added to follow the order of arguments in eq. 7.

    Args:
        channels: channels of both maps.
        reduction: channels divided by inner channels.
        pooled: keys and values are max-pooled over 2 x 2 positions.
    """

    def __init__(self, channels: int, *, reduction: int = 2, pooled: bool = False) -> None:
        super().__init__()
        inside = channels // reduction
        self.query = nn.Conv2d(channels, inside, 1)
        self.key = nn.Conv2d(channels, inside, 1)
        self.value = nn.Conv2d(channels, inside, 1)
        self.out = nn.Conv2d(inside, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if pooled else nn.Identity()

    def forward(self, x: Tensor, y: Tensor, *, swapped: bool = False) -> Tensor:
        """Return a map of x's shape.

        Args:
            x: (N, C, h, w), the map to add to.
            y: (N, C, h, w), the other map.
            swapped: queries from y, keys and values from x, as in IBAN's block.
        """
        asking, asked = (y, x) if swapped else (x, y)
        pooled = self.pool(asked)
        places = [
            part.flatten(2).transpose(1, 2)
            for part in (self.query(asking), self.key(pooled), self.value(pooled))
        ]
        seen = F.scaled_dot_product_attention(*places).transpose(1, 2)
        added: Tensor = self.norm(self.out(seen.unflatten(2, x.shape[2:])))
        return x + added


WEIGHTS = {
    "resnet18": models.ResNet18_Weights.IMAGENET1K_V1,
    "resnet34": models.ResNet34_Weights.IMAGENET1K_V1,
    "resnet50": models.ResNet50_Weights.IMAGENET1K_V1,
}


def resnet(name: str, *, pretrained: bool, weights: str = "") -> Any:
    """Build a ResNet whose last layer keeps the size of its input.

    Args:
        name: ``resnet18``, ``resnet34`` or ``resnet50``.
        pretrained: load torchvision's ImageNet weights from torch's hub folder.
        weights: checkpoint of the same ResNet to use instead.

    Raises:
        ConfigError: the name is unknown, or the weights are missing or of another network.
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
    """Return the first convolution and the modules up to the first layer."""
    return nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)


def layers(network: Any, *numbers: int) -> nn.Sequential:
    """Return some of the four layers in sequence."""
    return nn.Sequential(*(getattr(network, f"layer{number}") for number in numbers))


def width(network: Any, number: int) -> int:
    """Return the number of output channels of a layer."""
    last = getattr(network, f"layer{number}")[-1]
    norm = last.bn3 if hasattr(last, "bn3") else last.bn2
    return int(norm.num_features)


MODES = ("full", "no_spatial", "temporal")
PARTS = 6  # as in PCB
_REDUCTION = 16


class SpatialTemporalGuidance(nn.Module):
    """Tracklets of feature maps -> one descriptor each, of six concatenated stripes.

    An LSTM over the frames gives the motion m_t^k of each stripe, an LSTM over the stripes of the
    last frame the spatial relation s; ``A = sigmoid(LM2(relu(LM1([f; s]))))`` highlights f (eqs.
    11-13), ``h = f A + m`` embeds time (eq. 14), and the frames are averaged (eq. 15). Both LSTMs
    have one layer and as many units as f has channels, as the sum in eq. 14 requires; stripes and
    modalities share them.

    Args:
        channels: channels of the maps.
        mode: ``full``; ``no_spatial`` = without the LSTM over stripes, s is each stripe's own last
            motion (FRM-STIG* of table 1); ``temporal`` = h = f + m (FR-E-TI).
    """

    def __init__(self, channels: int, *, mode: str = "full") -> None:
        super().__init__()
        self.mode, self.width = mode, PARTS * channels
        self.motion = nn.LSTM(channels, channels, batch_first=True)
        self.spatial = nn.LSTM(channels, channels, batch_first=True) if mode == "full" else None
        inside = channels // _REDUCTION
        self.gate = None
        if mode != "temporal":
            self.gate = nn.Sequential(
                nn.Linear(2 * channels, inside),
                nn.ReLU(),
                nn.Linear(inside, channels),
                nn.Sigmoid(),
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, 6 C) of maps (N, T, C, h, w)."""
        count = len(maps)
        stripes = stripes_of(maps)
        moved = _steps(self.motion, stripes.transpose(1, 2).flatten(0, 1))
        moved = moved.unflatten(0, (count, PARTS)).transpose(1, 2)
        if self.gate is not None:
            relation = moved[:, -1]  # (N, K, C)
            if self.spatial is not None:
                relation = _steps(self.spatial, relation)[:, -1:]
            relation = relation.unsqueeze(1).expand_as(stripes)
            stripes = stripes * self.gate(torch.cat([stripes, relation], dim=3))
        return (stripes + moved).mean(1).flatten(1)


def stripes_of(maps: Tensor) -> Tensor:
    """Return the means (N, T, 6, C) of six horizontal stripes of maps (N, T, C, h, w)."""
    pooled = F.adaptive_avg_pool2d(maps.flatten(0, 1), (PARTS, 1))
    return pooled[..., 0].transpose(1, 2).unflatten(0, maps.shape[:2])


def _steps(lstm: nn.LSTM, sequences: Tensor) -> Tensor:
    """Return an LSTM's outputs (N, L, C); cuDNN's has no gradient in eval mode."""
    if lstm.training or not torch.is_grad_enabled():
        outputs: Tensor = lstm(sequences)[0]
        return outputs
    with torch.backends.cudnn.flags(
        enabled=False, deterministic=torch.backends.cudnn.deterministic
    ):
        states: Tensor = lstm(sequences)[0]
    return states
