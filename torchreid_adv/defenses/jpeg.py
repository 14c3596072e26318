"""JPEG compression, a common baseline: Pillow's codec, and a differentiable approximation."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.core import pixels
from torchreid_adv.defenses.base import Defense, require_number
from torchreid_adv.registry import DEFENSES

BLOCK = 8
COLORS = (  # of JFIF: brightness, blue and red difference
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)


@DEFENSES.register(
    "jpeg",
    paper="Dziugaite et al., A Study of the Effect of JPG Compression on Adversarial Images, 2016; "
    "surrogate: Shin and Song, JPEG-resistant Adversarial Images, 2017",
    title="JPEG compression",
)
class Jpeg(Defense):
    """Compresses an image as JPEG, with colors at half resolution.

    The surrogate follows a JPEG codec except for rounding: a coefficient ``c`` becomes
    ``round(c) + (c - round(c)) ** 3``.

    Args:
        quality: JPEG quality, 1 to 95.

    Raises:
        ConfigError: the quality is out of range.

    Example:
        >>> Jpeg(quality=50)(torch.rand(1, 3, 128, 64)).shape
        torch.Size([1, 3, 128, 64])
    """

    differentiable = False

    def __init__(self, *, quality: int = 75) -> None:
        super().__init__()
        require_number("quality", quality, 1, 95, whole=True)
        self.quality = quality
        with Image.open(io.BytesIO(self._encoded(np.zeros((16, 16, 3), np.uint8)))) as file:
            tables = [list(table) for table in file.quantization.values()]  # type: ignore[attr-defined]
        self.tables = torch.tensor(tables, dtype=torch.float64).view(2, BLOCK, 1, BLOCK)

    def exact(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Return the images after JPEG compression and decoding."""
        decoded = []
        for image in pixels.to_uint8(images):
            with Image.open(io.BytesIO(self._encoded(image))) as file:
                decoded.append(np.asarray(file.convert("RGB")))
        return pixels.to_tensor(np.stack(decoded)).to(images)

    def surrogate(self, images: Tensor, drawn: Any = None) -> Tensor:
        """Return the images of a codec with soft rounding."""
        height, width = images.shape[-2:]
        unit = 2 * BLOCK  # size of a color block at half resolution
        padding = (0, -width % unit, 0, -height % unit)
        levels = pixels.to_levels(1) * F.pad(images, padding, mode="replicate")
        colors = levels.new_tensor(COLORS)
        planes = torch.einsum("kc,nchw->nkhw", colors, levels)
        brightness, tables = planes[:, :1] - _MIDDLE, self.tables.to(images)
        brightness = _compressed(brightness, tables[0]) + _MIDDLE
        small = _compressed(F.avg_pool2d(planes[:, 1:], 2), tables[1])
        tints = F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
        planes = torch.cat([brightness, tints], dim=1)
        levels = torch.einsum("ck,nkhw->nchw", colors.inverse(), planes)
        return (levels / pixels.to_levels(1)).clamp(0, 1)[..., :height, :width]

    def describe(self) -> dict[str, Any]:
        """Return the quality."""
        return {**super().describe(), "quality": self.quality}

    def _encoded(self, image: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=self.quality, subsampling=2)
        return buffer.getvalue()


_MIDDLE = 2.0 ** (BLOCK - 1)  # gray level


def _compressed(planes: Tensor, table: Tensor) -> Tensor:
    """Return planes (N, K, H, W) with softly rounded cosine coefficients of their blocks."""
    cosine = _cosine_transform().to(planes)
    blocks = planes.unflatten(-1, (-1, BLOCK)).unflatten(-3, (-1, BLOCK))
    coefficients = torch.einsum("ui,nkaibj,vj->nkaubv", cosine, blocks, cosine) / table
    nearest = coefficients.round().detach()
    soft = (nearest + (coefficients - nearest) ** 3) * table
    return torch.einsum("ui,nkaubv,vj->nkaibj", cosine, soft, cosine).reshape(planes.shape)


def _cosine_transform() -> Tensor:
    """Return the orthonormal DCT-II matrix (8, 8)."""
    place = torch.arange(BLOCK, dtype=torch.float64)
    matrix = torch.cos(math.pi / BLOCK * (place + 0.5) * place[:, None]) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix
