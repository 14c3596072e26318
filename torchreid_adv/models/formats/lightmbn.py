"""LightMBN: the multi-branch network LMBN_n on OSNet's stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.models.loaders import Loaded, Request, plain
from torchreid_adv.registry import LOADERS

_CHANNELS = 512
_NECKS = 5  # of the whole body and its halves
_BRANCHES = ("global_branch", "partial_branch", "channel_branch")


class Neck(nn.Module):
    """A norm of pooled features, behind a convolution that narrows them where it is there.

    Args:
        channels: of the pooled maps; 0 = there is no convolution.
        width: of the features.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        if channels:
            self.reduction = nn.Conv2d(channels, width, 1, bias=False)
        self.narrows = bool(channels)
        self.bn = nn.BatchNorm1d(width)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return features (N, D) of pooled maps (N, C, 1, 1)."""
        narrow = self.reduction(pooled) if self.narrows else pooled
        features: Tensor = self.bn(narrow.flatten(1))
        return features


class LightMBN(nn.Module):
    """Three branches on OSNet: the body twice, its halves and its maximum, two halves of channels.

    Tensors have the names of LightMBN's own files, the misspelled ``backone`` among them.

    Args:
        width: of the features of each of the seven parts.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        networks = torchreid_module("models.osnet")
        first, *others = (_osnet(networks) for _ in range(1 + len(_BRANCHES)))
        self.backone = nn.Sequential(first.conv1, first.maxpool, first.conv2, first.conv3[0])
        for name, osnet in zip(_BRANCHES, others, strict=True):
            setattr(self, name, nn.Sequential(osnet.conv3[1:], osnet.conv4, osnet.conv5))
        bottleneck = networks.OSBlock(_CHANNELS, _CHANNELS)
        self.batch_drop_block = nn.ModuleDict({"drop_batch_bottleneck": bottleneck})
        for number in range(_NECKS):
            setattr(self, f"reduction_{number}", Neck(_CHANNELS, width))
        half = nn.Conv2d(_CHANNELS // 2, width, 1, bias=False)
        self.shared = nn.Sequential(half, nn.BatchNorm2d(width), nn.ReLU())
        self.reduction_ch_0, self.reduction_ch_1 = Neck(0, width), Neck(0, width)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, D, 7) of normalized images: the seven parts in LightMBN's order."""
        maps = self.backone(images)
        body, halves, channels = (getattr(self, name)(maps) for name in _BRANCHES)
        body = self.batch_drop_block["drop_batch_bottleneck"](body)  # nothing is dropped in a test
        upper, lower = nn.functional.adaptive_avg_pool2d(halves, (2, 1)).split(1, dim=2)
        pooled = (_mean(body), _most(halves), upper, lower, _most(body))
        whole = [getattr(self, f"reduction_{n}")(part) for n, part in enumerate(pooled)]
        first, second = _mean(channels).chunk(2, dim=1)
        split = [
            self.reduction_ch_0(self.shared(first)),
            self.reduction_ch_1(self.shared(second)),
        ]
        mean, most, top, bottom, dropped = whole
        return torch.stack([mean, dropped, most, top, bottom, *split], dim=2)


def _osnet(networks: Any) -> Any:
    return networks.osnet_x1_0(num_classes=1, pretrained=False)


def _mean(maps: Tensor) -> Tensor:
    return nn.functional.adaptive_avg_pool2d(maps, 1)


def _most(maps: Tensor) -> Tensor:
    return nn.functional.adaptive_max_pool2d(maps, 1)


@LOADERS.register("lightmbn", weights=True, example="lightmbn@resize=bicubic:lmbn_n_market.pt")
def lightmbn(request: Request) -> Loaded:
    """Read ``lightmbn@resize=bicubic:FILE``, or ``resize=pillow`` after its other data pipeline.

    LMBN_n on OSNet; 384x128, ImageNet. Features of the image and of its mirror are added, those of
    the seven parts are unit vectors.

    Raises:
        ConfigError: the resize is not given, or another network of the project.
    """
    if "resize" not in request.entry.options:
        raise ConfigError(
            "LightMBN resizes images by its data_v1 (bicubic) or its data_v2 (bilinear), which no "
            "file says; write lightmbn@resize=bicubic:FILE or lightmbn@resize=pillow:FILE"
        )
    (path,) = request.taken("FILE")
    state = request.state(path, without=_is_head)
    narrowing = state.find("reduction_0.reduction.weight")
    if narrowing is None or not _is_osnet(state.tensors):
        raise ConfigError(
            f"'{path}' is not of LMBN_n; other networks of LightMBN come in by a function of "
            "yours, as python:module:function"
        )
    with torch.random.fork_rng(devices=[]):
        network = LightMBN(len(narrowing))
    settings = {"size": (384, 128), "flip": "sum", "parts": "unit"}
    return Loaded(state.into(network), settings)


def _is_osnet(tensors: Mapping[str, Tensor]) -> bool:
    return any(plain(name).endswith("backone.0.conv.weight") for name in tensors)


def _is_head(name: str) -> bool:
    return ".classifier." in f".{name}"
