"""How similar an image is to its adversarial form: SSIM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.data.images import read_image
from torchreid_adv.errors import ConfigError
from torchreid_adv.pixels import to_tensor

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2  # of values in [0, 1]


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean structural similarity (N,) of pairs of images, at most 1.

    Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004,
    eq. 13, with Gaussian windows of 11 x 11 pixels inside the image, mean over channels.

    Args:
        first: (N, C, H, W) in [0, 1].
        second: the same, paired with the first.

    Raises:
        ConfigError: images of other shapes, or smaller than a window.
    """
    if first.shape != second.shape or first.ndim != 4 or min(first.shape[-2:]) < WINDOW:
        raise ConfigError(
            f"SSIM compares images of one size, {WINDOW} pixels or more each way, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}"
        )
    x, y = first.double(), second.double()
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    shared = _blurred(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return (light * (2 * shared + C2) / (var_x + var_y + C2)).flatten(1).mean(1)


def file_similarity(original: Path, adversarial: Path) -> float:
    """Return the SSIM of an image file and its stored adversarial form.

    The original is resized where the other was stored at the size of a network's input.

    Raises:
        DataError: a file is missing or no readable image.
    """
    pair = [read_image(original), read_image(adversarial)]
    if pair[0].size != pair[1].size:
        pair[0] = pair[0].resize(pair[1].size, Image.Resampling.BILINEAR)
    first, second = (to_tensor(np.array(image))[None] for image in pair)
    return float(ssim(first, second)[0])


def _blurred(images: Tensor) -> Tensor:
    places = torch.arange(WINDOW, dtype=images.dtype, device=images.device) - WINDOW // 2
    line = torch.exp(-(places**2) / (2 * SIGMA**2))
    channels = images.shape[1]
    line = (line / line.sum()).expand(channels, 1, WINDOW)
    down = F.conv2d(images, line[..., None], groups=channels)
    return F.conv2d(down, line[:, :, None], groups=channels)
