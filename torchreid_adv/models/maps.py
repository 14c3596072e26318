"""Layers on feature maps: GeM pooling, non-local blocks, IBN, and the norm of BNNeck."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GeM(nn.Module):
    """Generalized mean over all places: (mean of x^p)^(1/p) per channel, p learned.

    Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, 2018, eq. 3. p = 1
    is average pooling, a large p max pooling.

    Args:
        p: where the exponent starts.
        smallest: what values are raised to, so that powers have gradients.
    """

    def __init__(self, p: float = 3.0, smallest: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), p))
        self.smallest = smallest

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, C, 1, 1) of maps (N, C, H, W); half formats are averaged in fp32."""
        exact = maps if maps.dtype == torch.float64 else maps.float()
        exponent = self.p.to(exact.dtype)
        mean = exact.clamp(min=self.smallest).pow(exponent).mean((2, 3), keepdim=True)
        return mean.pow(1.0 / exponent).to(maps.dtype)


class NonLocal(nn.Module):
    """Adds to each place what all places say to it: x_i + W sum_j (theta_i . phi_j) g_j / places.

    Wang et al., Non-local Neural Networks, 2018, eqs. 1, 4 and 6, in the dot product form that AGW
    (Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, 2021) uses. The
    norm behind W starts at zero: the block changes nothing until it is trained.

    Args:
        channels: C of the maps; half of them inside.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inside = channels // 2
        self.theta = nn.Conv2d(channels, inside, 1)
        self.phi = nn.Conv2d(channels, inside, 1)
        self.g = nn.Conv2d(channels, inside, 1)
        self.out = nn.Sequential(nn.Conv2d(inside, channels, 1), nn.BatchNorm2d(channels))
        nn.init.zeros_(self.out[1].weight)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, C, H, W) of the same shape."""
        theta, phi, g = (part(maps).flatten(2) for part in (self.theta, self.phi, self.g))
        weights = theta.transpose(1, 2) @ phi / phi.shape[2]  # (N, places, places)
        heard = (g @ weights.transpose(1, 2)).unflatten(2, maps.shape[2:])
        added: Tensor = self.out(heard)
        return maps + added


class InstanceBatchNorm(nn.Module):
    """IBN-a's norm: the first half of the channels by image, the others by batch.

    Pan et al., Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net, 2018. The
    names of its parts are those in the published weights.

    Args:
        channels: C of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.by_image = channels // 2
        self.IN = nn.InstanceNorm2d(self.by_image, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.by_image)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, C, H, W) of the same shape."""
        first, rest = maps[:, : self.by_image], maps[:, self.by_image :]
        return torch.cat([self.IN(first.contiguous()), self.BN(rest.contiguous())], dim=1)


class NeckNorm(nn.BatchNorm1d):
    """BNNeck's norm, whose shift stays zero (Luo et al., Bag of Tricks, 2019, section 3.6).

    The shift is a buffer, because torchreid opens every parameter for training in each epoch.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features)
        del self.bias
        self.register_buffer("bias", torch.zeros(features))
