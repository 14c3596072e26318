"""ResNets below the heads of other projects, built from the tensor names in a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.resnet import InstanceBatchNorm, NonLocal

_STAGES = ("layer1", "layer2", "layer3", "layer4")


class Stages(ResNet):
    """torchvision's ResNet up to its last maps, with the names used by re-ID projects.

    Args:
        layers: blocks in each of the four stages.
        bottleneck: blocks of three convolutions; otherwise of two.
        last_stride: stride of the last stage.
        ibn: the first norm of each block of stages 1 to 3 normalizes half of the channels by image.
        relu: after the first norm; the strong baseline and AGW omit it.
        non_local: number of each stage's last blocks that are followed by a non-local block, named
            ``NL_1`` to ``NL_4``.
    """

    def __init__(
        self,
        layers: Iterable[int] = (3, 4, 6, 3),
        *,
        bottleneck: bool = True,
        last_stride: int = 1,
        ibn: bool = False,
        relu: bool = True,
        non_local: Iterable[int] = (0, 0, 0, 0),
    ) -> None:
        super().__init__(Bottleneck if bottleneck else BasicBlock, list(layers))
        self.channels: int = self.fc.in_features
        del self.fc, self.avgpool
        first = self.layer4[0]
        (first.conv2 if bottleneck else first.conv1).stride = (last_stride, last_stride)
        first.downsample[0].stride = (last_stride, last_stride)
        for stage in _STAGES[:3] if ibn else ():
            for block in getattr(self, stage):
                block.bn1 = InstanceBatchNorm(block.bn1.num_features)
        self.first_relu = relu
        self.counts = tuple(non_local)
        for number, (stage, count) in enumerate(zip(_STAGES, self.counts, strict=True), start=1):
            width = getattr(self, stage)[-1].conv1.in_channels
            blocks = nn.ModuleList(NarrowNonLocal(width) for _ in range(count))
            setattr(self, f"NL_{number}", blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps (N, C, h, w) of normalized images (N, 3, H, W)."""
        maps = self.bn1(self.conv1(images))
        maps = self.maxpool(self.relu(maps) if self.first_relu else maps)
        for number, stage in enumerate(_STAGES, start=1):
            behind = getattr(self, f"NL_{number}")
            plain = len(getattr(self, stage)) - len(behind)
            for place, block in enumerate(getattr(self, stage)):
                maps = block(maps)
                if place >= plain:
                    maps = behind[place - plain](maps)
        return maps


class NarrowNonLocal(NonLocal):
    """A non-local block with a single inner channel, as in the code of AGW.

    The paper uses half of the channels; the published weights have one.

    Args:
        channels: C of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.theta = nn.Conv2d(channels, 1, 1)
        self.phi = nn.Conv2d(channels, 1, 1)
        self.g = nn.Conv2d(channels, 1, 1)
        self.W = nn.Sequential(nn.Conv2d(1, channels, 1), nn.BatchNorm2d(channels))
        del self.out

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, C, H, W) of the same shape."""
        theta, phi, g = (part(maps).flatten(2) for part in (self.theta, self.phi, self.g))
        weights = theta.transpose(1, 2) @ phi / phi.shape[2]
        heard = (g @ weights.transpose(1, 2)).unflatten(2, maps.shape[2:])
        added: Tensor = self.W(heard)
        return maps + added


def stages_of(
    names: Iterable[str], prefix: str, *, last_stride: int = 1, relu: bool | None = None
) -> Stages:
    """Build the ResNet of a checkpoint.

    Args:
        names: names of its tensors, without wrappers.
        prefix: before ``layer1``, such as ``base.``.
        last_stride: stride of the last stage, which no checkpoint records.
        relu: after the first norm; None = if the network has IBN, as in the strong baseline.

    Raises:
        ConfigError: the checkpoint belongs to another network.
    """
    backbone_names = [name[name.index(prefix) + len(prefix) :] for name in names if prefix in name]
    matches = [re.match(r"layer([1-4])\.(\d+)\.(.+)", name) for name in backbone_names]
    blocks = [(int(m[1]), int(m[2]), m[3]) for m in matches if m]
    counts = [1 + max((b for s, b, _ in blocks if s == n), default=-1) for n in (1, 2, 3, 4)]
    inside = {suffix for _, _, suffix in blocks}
    if (
        not all(counts)
        or "conv1.weight" not in backbone_names
        or any("se_module" in r for r in inside)
    ):
        raise ConfigError(
            "its backbone is not a ResNet (with or without IBN-a): SE and other variants come in "
            "by a function of yours, as python:module:function"
        )
    ibn = "bn1.IN.weight" in inside
    behind = {".".join(name.split(".")[:2]) for name in backbone_names if name.startswith("NL_")}
    non_local = [sum(name.startswith(f"NL_{s}.") for name in behind) for s in range(1, 5)]
    return Stages(
        counts,
        bottleneck="conv3.weight" in inside,
        last_stride=last_stride,
        ibn=ibn,
        relu=ibn if relu is None else relu,
        non_local=non_local,
    )


class Pooled(nn.Module):
    """Generalized mean of maps as written in other projects, with one exponent in ``p``.

    Args:
        p: initial exponent.
    """

    def __init__(self, p: float = 3.0) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), p))

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, C, 1, 1) of maps (N, C, H, W)."""
        powers = maps.clamp(min=1e-6).pow(self.p)
        return nn.functional.adaptive_avg_pool2d(powers, 1).pow(1.0 / self.p)
