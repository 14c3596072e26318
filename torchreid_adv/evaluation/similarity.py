"""How similar two images look: structural similarity at one or several scales."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.errors import ConfigError

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
_TINY = 1e-6  # lower limit below a root, whose slope at 0 is infinite


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """Return the mean structural similarity (N,) of pairs of images, at most 1.

    Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004,
    eq. 13, with Gaussian windows of 11 x 11 pixels inside the image, mean over channels.

    Args:
        images: (N, C, H, W) in [0, 1].
        others: the images to compare with, same shape.

    Raises:
        ConfigError: shapes differ, or images are smaller than a window.
    """
    _check_pairs(images, others)
    return _ssim(images.double(), others.double())[0].mean(1)


def ms_ssim(images: Tensor, others: Tensor) -> Tensor:
    """Return the multi-scale structural similarity (N,) of images, 1 for equal ones.

    Wang et al., Multi-Scale Structural Similarity for Image Quality Assessment, 2003: a Gaussian
    window of 11 pixels and five scales, each half of the one before. Five scales need sides above
    160 pixels; for smaller images, such as most re-ID crops, only scales that a window fits into
    are used, with their weights divided by their sum.

    Args:
        images: (N, C, H, W) in [0, 1].
        others: the same shape.

    Raises:
        ConfigError: shapes differ, or images are smaller than a window.
    """
    _check_pairs(images, others)
    side = min(images.shape[-2:])
    count = sum(math.ceil(side / 2**scale) >= WINDOW for scale in range(len(WEIGHTS)))
    weights = images.new_tensor(WEIGHTS[:count])
    parts = []
    for scale in range(count):
        if scale:
            images, others = (_halved(batch) for batch in (images, others))
        whole, structure = _ssim(images, others)
        parts.append(whole if scale == count - 1 else structure)
    powers = (weights / weights.sum()).view(-1, 1, 1)
    return torch.stack(parts).clamp_min(_TINY).pow(powers).prod(0).mean(1)


def _check_pairs(images: Tensor, others: Tensor) -> None:
    if images.shape != others.shape or images.ndim != 4 or min(images.shape[-2:]) < WINDOW:
        raise ConfigError(
            f"SSIM compares images of one size, {WINDOW} pixels or more each way, got "
            f"{tuple(images.shape)} and {tuple(others.shape)}"
        )


def _ssim(images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return the similarity (N, C), and its part without luminance."""
    mean, mean_other = _blurred(images), _blurred(others)
    variance = _blurred(images * images) - mean * mean
    variance_other = _blurred(others * others) - mean_other * mean_other
    covariance = _blurred(images * others) - mean * mean_other
    structure = (2 * covariance + C2) / (variance + variance_other + C2)
    luminance = (2 * mean * mean_other + C1) / (mean * mean + mean_other * mean_other + C1)
    return (luminance * structure).mean((2, 3)), structure.mean((2, 3))


def _blurred(images: Tensor) -> Tensor:
    """Return weighted means (N, C, H - 10, W - 10) over windows."""
    offsets = torch.arange(WINDOW, device=images.device, dtype=images.dtype) - WINDOW // 2
    line = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    line = (line / line.sum()).expand(images.shape[1], 1, -1)
    images = F.conv2d(images, line[..., None], groups=images.shape[1])
    return F.conv2d(images, line[:, :, None], groups=images.shape[1])


def _halved(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, 2, ceil_mode=True)
