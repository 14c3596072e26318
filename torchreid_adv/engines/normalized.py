"""Between torchreid's normalized batches and pixels of [0, 1]."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchvision.transforms import Normalize

from torchreid_adv.integration.checkpoints import unwrap
from torchreid_adv.models import PixelModel


def pixel_model(engine: Any) -> PixelModel:
    """Return an engine's network, out of DataParallel, behind pixels; the weights are shared."""
    data = engine.datamanager
    normalize = next(t for t in data.transform_te.transforms if isinstance(t, Normalize))
    return PixelModel(
        unwrap(engine.model),
        size=(data.height, data.width),
        mean=normalize.mean,
        std=normalize.std,
    )


def to_pixels(model: PixelModel, images: Tensor) -> Tensor:
    """Return the pixels (..., 3, H, W) in [0, 1] of normalized images.

    What a transform moved out of [0, 1] is clamped.
    """
    mean, std = model.moments(images)
    return (images * std + mean).clamp_(0, 1)


def moved(model: PixelModel, images: Tensor, clean: Tensor, adversarial: Tensor) -> Tensor:
    """Return normalized images, moved as their pixels were.

    A pixel that did not move keeps its bits, also one that was out of [0, 1].

    Args:
        model: has the deviations.
        images: normalized (..., 3, H, W).
        clean: their pixels, see :func:`to_pixels`.
        adversarial: the same after the attack.
    """
    return images + (adversarial - clean) / model.moments(images)[1]
