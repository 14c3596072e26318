"""The network that tells adversarial images from clean ones, patch by patch, at three scales."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

SCALES = 3
SMALLEST = 16  # pixels of a side, so that the smallest scale has a patch


class PatchDiscriminator(nn.Module):
    """Clean images and images beside them -> one map of verdicts per scale (N, 1, h, w).

    PatchGANs on the images, on half and on a quarter of their size, as Wang et al. (Deep
    Mis-Ranking, 2020) use them with least squares: 1 says clean, 0 says adversarial.

    Args:
        filters: of the first convolution.
    """

    def __init__(self, *, filters: int = 32) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_patches(filters) for _ in range(SCALES))

    def forward(self, clean: Tensor, images: Tensor) -> list[Tensor]:
        """Return the verdicts on images, both (N, 3, H, W) in [0, 1], sides of 16 or more."""
        pair = torch.cat([clean, images], dim=1) * 2 - 1
        verdicts = []
        for patches in self.scales:
            verdicts.append(patches(pair))
            pair = F.avg_pool2d(pair, 2)
        return verdicts


def least_squares(verdicts: list[Tensor], wanted: float) -> Tensor:
    """Return the mean squared distance of verdicts from what they should be (LSGAN)."""
    return torch.stack([(verdict - wanted).pow(2).mean() for verdict in verdicts]).mean()


def _patches(filters: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(6, filters, 4, 2, 1)),
        nn.LeakyReLU(0.2, inplace=True),
        spectral_norm(nn.Conv2d(filters, 2 * filters, 4, 2, 1)),
        nn.LeakyReLU(0.2, inplace=True),
        spectral_norm(nn.Conv2d(2 * filters, 4 * filters, 3, 1, 1)),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(4 * filters, 1, 3, 1, 1),
    )
