"""The victim networks of universal attacks and joint defenses, as torchreid models.

In training they return identity scores, or scores and features if the loss is ``triplet``; in eval
mode the features to rank.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, cat, nn

from torchreid_adv.errors import ConfigError
from torchreid_adv.models.resnet import RESNET101, GeM, NeckNorm, Trunk, load_imagenet
from torchreid_adv.registry import MODELS

FEATURES = 2048  # channels of a bottleneck ResNet's last maps

Scores = Tensor | list[Tensor]
Answer = Scores | tuple[Scores, Tensor]


class _Victim(nn.Module):
    """A trunk under a head; ``trunk`` is a direct child, and so are the untrained layers."""

    def __init__(self, trunk: nn.Module, loss: str) -> None:
        super().__init__()
        if loss not in ("softmax", "triplet"):
            raise ConfigError(f"loss.name is 'softmax' or 'triplet', got '{loss}'")
        self.trunk = trunk
        self.loss = loss

    def _answer(self, scores: Scores, features: Tensor) -> Answer:
        return scores if self.loss == "softmax" else (scores, features)


class IDE(_Victim):
    """ID-discriminative embedding: pooled features, and an embedding before the scores.

    Zheng et al., Person Re-identification: Past, Present and Future, 2016, with the head of Yang et
    al. (Towards Robust Person Re-identification by Defending Against Universal Attackers, 2022):
    linear 2048, BatchNorm, ReLU, dropout 0.1, classifier.

    Args:
        trunk: trunk with last stride 2.
        num_classes: training identities.
        loss: ``softmax`` or ``triplet``, which is applied to the pooled features.
    """

    def __init__(self, trunk: Trunk, num_classes: int, loss: str = "softmax") -> None:
        super().__init__(trunk, loss)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.embedding = nn.Sequential(
            nn.Linear(FEATURES, FEATURES), nn.BatchNorm1d(FEATURES), nn.ReLU(), nn.Dropout(0.1)
        )
        nn.init.kaiming_normal_(self.embedding[0].weight, mode="fan_out")  # type: ignore[arg-type]
        self.classifier = _classifier(FEATURES, num_classes)

    def forward(self, images: Tensor) -> Answer:
        """Return scores (N, identities), or features (N, 2048), of normalized images."""
        features: Tensor = self.pool(self.trunk(images)).flatten(1)
        if not self.training:
            return features
        return self._answer(self.classifier(self.embedding(features)), features)


class PCB(_Victim):
    """Part-based convolutional baseline: horizontal parts, each with its reduction and scores.

    Sun et al., Beyond Part Models, 2018. In eval mode it returns the reduced parts, concatenated,
    as in the meta attack's victims; torchreid's ``pcb_p6`` returns the pooled parts of 2048.

    Args:
        trunk: trunk with last stride 1.
        num_classes: training identities.
        loss: ``softmax`` or ``triplet``, which is applied to the features.
        parts: number of horizontal stripes.
        reduced: features per stripe.
    """

    def __init__(
        self,
        trunk: Trunk,
        num_classes: int,
        loss: str = "softmax",
        *,
        parts: int = 6,
        reduced: int = 256,
    ) -> None:
        super().__init__(trunk, loss)
        self.pool = nn.AdaptiveAvgPool2d((parts, 1))
        self.reduction = nn.ModuleList(_reduction(reduced) for _ in range(parts))
        self.classifier = nn.ModuleList(_classifier(reduced, num_classes) for _ in range(parts))

    def forward(self, images: Tensor) -> Answer:
        """Return scores by part, or features (N, parts x reduced), of normalized images."""
        stripes = self.pool(self.trunk(images)).split(1, dim=2)
        reduced = [
            layers(stripe).flatten(1)
            for layers, stripe in zip(self.reduction, stripes, strict=True)
        ]
        if not self.training:
            return cat(reduced, dim=1)
        scores = [head(part) for head, part in zip(self.classifier, reduced, strict=True)]
        return self._answer(scores, cat(reduced, dim=1))


class BNNeck(_Victim):
    """A norm between the pooled features, used for triplets, and the scores.

    Luo et al., Bag of Tricks and a Strong Baseline for Deep Person Re-identification, 2019: the
    features after the norm are ranked; its shift and the classifier's stay zero.

    Args:
        trunk: trunk with last stride 1; images -> maps (N, 2048, h, w).
        num_classes: training identities.
        loss: ``softmax`` or ``triplet``, which is applied to the features before the norm.
        pool: maps -> (N, 2048, 1, 1); None = average.
    """

    def __init__(
        self,
        trunk: nn.Module,
        num_classes: int,
        loss: str = "softmax",
        *,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__(trunk, loss)
        self.pool = pool or nn.AdaptiveAvgPool2d(1)
        self.neck = NeckNorm(FEATURES)
        self.classifier = _classifier(FEATURES, num_classes, bias=False)

    def forward(self, images: Tensor) -> Answer:
        """Return scores (N, identities), or features (N, 2048), of normalized images."""
        pooled = self.pool(self.trunk(images)).flatten(1)
        features: Tensor = self.neck(pooled)
        if not self.training:
            return features
        return self._answer(self.classifier(features), pooled)


def _classifier(features: int, num_classes: int, *, bias: bool = True) -> nn.Linear:
    layer = nn.Linear(features, num_classes, bias=bias)
    nn.init.normal_(layer.weight, std=0.001)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def _reduction(reduced: int) -> nn.Sequential:
    layers = nn.Sequential(
        nn.Conv2d(FEATURES, reduced, 1, bias=False), nn.BatchNorm2d(reduced), nn.ReLU()
    )
    nn.init.kaiming_normal_(layers[0].weight, mode="fan_out")  # type: ignore[arg-type]
    return layers


def _trunk(pretrained: bool, weights: str = "resnet50", **shape: Any) -> Trunk:
    trunk = Trunk(**shape)
    if pretrained:
        load_imagenet(trunk, weights)
    return trunk


@MODELS.register("ide_resnet50")
def ide_resnet50(
    num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True
) -> nn.Module:
    """Build IDE on a ResNet-50 of last stride 2; features (N, 2048)."""
    return IDE(_trunk(pretrained, last_stride=2), num_classes, loss)


@MODELS.register("pcb_resnet50")
def pcb_resnet50(
    num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True
) -> nn.Module:
    """Build PCB with six parts; features (N, 1536)."""
    return PCB(_trunk(pretrained), num_classes, loss)


@MODELS.register("agw_resnet50")
def agw_resnet50(
    num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True
) -> nn.Module:
    """Build AGW: non-local blocks in stages 2 and 3, GeM, BNNeck; features (N, 2048)."""
    trunk = _trunk(pretrained, non_local=(0, 2, 3, 0))
    return BNNeck(trunk, num_classes, loss, pool=GeM())


@MODELS.register("agw_two_stream")
def agw_two_stream(
    num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True
) -> nn.Module:
    """Build AGW with separate first layers for infrared images; features (N, 2048)."""
    trunk = TwoStreams(_trunk(pretrained, non_local=(0, 2, 3, 0)))
    return BNNeck(trunk, num_classes, loss, pool=GeM())


@MODELS.register("sb_resnet50")
def sb_resnet50(
    num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True
) -> nn.Module:
    """Build the strong baseline: last stride 1, BNNeck; features (N, 2048)."""
    return BNNeck(_trunk(pretrained), num_classes, loss)


@MODELS.register("ibn_resnet101")
def ibn_resnet101(
    num_classes: int, loss: str = "softmax", pretrained: bool = True, use_gpu: bool = True
) -> nn.Module:
    """Build the strong baseline on a ResNet-101 with IBN-a; features (N, 2048)."""
    trunk = _trunk(pretrained, "resnet101_ibn_a", layers=RESNET101, ibn=True)
    return BNNeck(trunk, num_classes, loss)


def with_modality(images: Tensor, modality: Tensor) -> Tensor:
    """Return images (N, ..., 4, H, W) whose last channel is their modality.

    Args:
        images: (N, ..., 3, H, W), normalized.
        modality: (N,) numbers of data sets: even visible, odd infrared.
    """
    plane = (modality % 2).to(images).view(-1, *[1] * (images.ndim - 1))
    return torch.cat([images, plane.expand_as(images[..., :1, :, :])], dim=-3)


class TwoStreams(nn.Module):
    """A ResNet with a separate first convolution and norm for each modality.

    Args:
        trunk: trunk with the initial weights; the infrared layers are copies.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.shared = trunk
        self.infrared = nn.Sequential(copy.deepcopy(trunk.conv1), copy.deepcopy(trunk.bn1))

    def forward(self, images: Tensor) -> Tensor:
        """Return maps (N, C, h, w) of images.

        Args:
            images: (N, 4, H, W) from :func:`with_modality`; (N, 3, H, W) = all visible.

        Raises:
            ConfigError: the number of channels is wrong.
        """
        if images.shape[1] not in (3, 4):
            raise ConfigError(
                f"images have 3 channels, and 4 with their modality, got {images.shape[1]}"
            )
        pixels, infrared = images[:, :3], images[:, 3:, 0, 0].flatten() > 0
        if not infrared.any():
            return self.shared(pixels)
        if infrared.all():
            return self.shared.stages(self._infrared_stem(pixels))
        visible = self.shared.stem(pixels[~infrared])
        maps = visible.new_empty(len(images), *visible.shape[1:])
        maps = maps.index_put((~infrared,), visible)
        return self.shared.stages(
            maps.index_put((infrared,), self._infrared_stem(pixels[infrared]))
        )

    def _infrared_stem(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.shared.maxpool(self.shared.relu(self.infrared(pixels)))
        return maps
