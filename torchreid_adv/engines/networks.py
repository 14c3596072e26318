"""The network of an engine as a pixel model."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.transforms import Normalize

from torchreid_adv.models import PixelModel


def pixel_model(engine: Any) -> PixelModel:
    """Return an engine's network with the size and normalization of its data.

    Args:
        engine: a torchreid engine of images; its network is shared, not copied.
    """
    data = engine.datamanager
    network = engine.model.module if isinstance(engine.model, nn.DataParallel) else engine.model
    normalize = next(t for t in data.transform_te.transforms if isinstance(t, Normalize))
    size = (data.height, data.width)
    return PixelModel(network, size=size, mean=normalize.mean, std=normalize.std)
