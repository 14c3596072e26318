"""Cluster-contrast, SPCL and ICE: unsupervised ResNets with one shared layout of checkpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.loaders import Loaded, Request, State, plain
from torchreid_adv.models.resnets import Pooled, Stages, stages_of
from torchreid_adv.registry import LOADERS

# places in the Sequential of these projects; 2 and 3 are the ReLU and the pooling
_PLACES = {
    "0": "conv1",
    "1": "bn1",
    "4": "layer1",
    "5": "layer2",
    "6": "layer3",
    "7": "layer4",
}


class ClusterContrast(nn.Module):
    """Backbone, pooling, an optional embedding, a norm, and unit length.

    Args:
        base: images -> maps.
        pool: maps (N, C, h, w) -> (N, C, 1, 1).
        embedded: features of the embedding; 0 = there is none.
    """

    def __init__(self, base: Stages, pool: nn.Module, embedded: int) -> None:
        super().__init__()
        self.base, self.gap = base, pool
        self.feat = nn.Linear(base.channels, embedded) if embedded else nn.Identity()
        self.feat_bn = nn.BatchNorm1d(embedded or base.channels)

    def forward(self, images: Tensor) -> Tensor:
        """Return unit features (N, D) of normalized images."""
        return F.normalize(self.feat_bn(self.feat(self.gap(self.base(images)).flatten(1))))


@LOADERS.register("clustercontrast", weights=True, example="clustercontrast:model_best.pth.tar")
def cluster_contrast(request: Request) -> Loaded:
    """Read ``clustercontrast:FILE``: ResNets of any depth, with IBN-a, with GeM.

    Pillow bicubic, 256x128, ImageNet; the features are unit vectors.

    Raises:
        ConfigError: a file of another layout.
    """
    (path,) = request.taken("FILE")
    state = request.state(path, without=_is_head)
    renamed = _renamed(state.tensors)
    if state.find("feat_bn.weight") is None:
        raise ConfigError(f"'{path}' has no feat_bn, which files of cluster-contrast have")
    base = stages_of(map(plain, renamed), "base.", relu=True)
    pool = Pooled() if state.find("gap.p") is not None else nn.AdaptiveAvgPool2d(1)
    embedding = state.find("feat.weight")
    network = ClusterContrast(base, pool, 0 if embedding is None else len(embedding))
    return Loaded(State(state.path, renamed).into(network), {"resize": "bicubic"})


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with the names of ResNet's parts instead of numbers."""

    def name(match: re.Match[str]) -> str:
        return f"base.{_PLACES.get(match[1], match[1])}."

    return {re.sub(r"\bbase\.(\d+)\.", name, key): value for key, value in tensors.items()}


def _is_head(name: str) -> bool:
    return ".classifier." in f".{name}"
