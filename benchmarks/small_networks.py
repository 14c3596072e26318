"""Two networks so small that the standard evaluation of one takes about a minute on one core."""

from __future__ import annotations

import itertools
from typing import Any

from torch import Tensor, nn

from torchreid_adv.registry import MODELS

WIDTHS = (3, 24, 32, 48)
STRIPES = 4  # rows of the pooled map, as the parts of a body lie above each other


class SmallNetwork(nn.Module):
    """Three convolutions of stride 2, BatchNorm, a row of means for each stripe, a classifier.

    Args:
        num_classes: identities.
        loss: ``softmax`` or ``triplet``, as in torchreid.
        residual: each convolution is followed by a residual block.
    """

    def __init__(self, num_classes: int, loss: str, *, residual: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(WIDTHS):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs)]
            layers += [nn.ReLU()]
            layers += [ResidualBlock(outputs)] * residual
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((STRIPES, 1)), nn.Flatten())
        self.classifier, self.loss = nn.Linear(STRIPES * WIDTHS[-1], num_classes), loss

    def forward(self, images: Tensor) -> Any:
        """Return features (N, 192); in train mode what torchreid's losses take."""
        features = self.layers(images)
        if not self.training:
            return features
        logits = self.classifier(features)
        return (logits, features) if self.loss == "triplet" else logits


class ResidualBlock(nn.Module):
    """A convolution added to the identity.

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        sums: Tensor = self.inside(maps) + maps
        return sums.relu()


def _small(num_classes: int, loss: str = "softmax", **ignored: Any) -> nn.Module:
    return SmallNetwork(num_classes, loss, residual=False)


def _small_residual(num_classes: int, loss: str = "softmax", **ignored: Any) -> nn.Module:
    return SmallNetwork(num_classes, loss, residual=True)


SMALL, RESIDUAL = "benchmark_small", "benchmark_small_residual"
MODELS.register(SMALL, internal=True)(_small)
MODELS.register(RESIDUAL, internal=True)(_small_residual)
