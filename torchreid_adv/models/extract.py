"""Features of image files, through the transform that torchreid tests with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from torchreid_adv.data.datasets import Record
from torchreid_adv.data.loading import read_chunks
from torchreid_adv.models.features import Features
from torchreid_adv.models.pixel_model import PixelModel
from torchreid_adv.models.prepare import frozen


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's first parameter, the CPU for one without."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def extract(
    model: PixelModel,
    records: Sequence[Record],
    *,
    chunk: int = 64,
    workers: int = 0,
    description: str = "extracting features",
) -> Features:
    """Return the features of image files as torchreid would compute them.

    Args:
        model: its size, mean and std make the transform.
        records: images, in the order the features shall have.
        chunk: images per forward pass.
        workers: processes that read images; 0 = this one.
        description: of the progress bar.

    Raises:
        DataError: an image cannot be read, or features that are not finite.
    """
    values, device = [], device_of(model)
    reader = read_chunks(
        records, chunk, transform=model.file_transform(), workers=workers, description=description
    )
    with torch.no_grad(), frozen(model):
        for part, images in reader:
            features = model.network(torch.stack(images).to(device))
            values.append(features[: len(part)].float().cpu())
    return Features(
        values=torch.cat(values) if values else torch.empty(0, 1),
        pids=torch.tensor([record.pid for record in records], dtype=torch.int64),
        camids=torch.tensor([record.camid for record in records], dtype=torch.int64),
        image_ids=tuple(record.image_id for record in records),
    )
