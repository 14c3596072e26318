"""Features of image files, through the transform that torchreid tests with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from torchreid_adv.data.loading import read_groups
from torchreid_adv.data.records import Record, camera_labels, modalities
from torchreid_adv.jobs.chunks import chunks, filled
from torchreid_adv.jobs.team import ALONE, Team
from torchreid_adv.models.base import ImageModel, labels_of
from torchreid_adv.models.features import Features
from torchreid_adv.models.prepare import frozen


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's first parameter, the CPU for one without."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def extract(
    model: ImageModel,
    records: Sequence[Record],
    *,
    chunk: int = 64,
    workers: int = 0,
    description: str = "extracting features",
    team: Team = ALONE,
) -> Features:
    """Return the features of image files, or of tracklets, as torchreid would compute them.

    Args:
        model: its size, mean and std make the transform.
        records: images, in the order the features shall have.
        chunk: images per forward pass, also in the last one, which is filled up; frames, of
            tracklets that are as long as the longest.
        workers: processes that read images; 0 = this one.
        description: of the progress bar.
        team: connected processes share the chunks; all get all features, the same bits.

    Raises:
        DataError: an image cannot be read, or features that are not finite.
    """
    chunk = max(1, chunk // max([1, *(len(record.clip) for record in records)]))
    groups = chunks(records, chunk)
    mine = [n for n in range(len(groups)) if not team.connected or team.does(n)]
    reader = read_groups(
        [groups[number] for number in mine],
        transform=model.file_transform(),
        workers=workers,
        description=description,
    )
    rows = {}
    with torch.no_grad(), frozen(model):
        for number, images in zip(mine, reader, strict=True):
            whole = filled(groups[number], chunk)
            features = model.of_files(
                filled(images, chunk),
                modality=modalities(whole),
                **camera_labels(whole, labels_of(model)),
            )
            rows[number * chunk] = features[: len(images)].float().cpu()
    return Features.of(records, team.gathered(rows, len(records)))
