"""Images of a batch by size, each without padding."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from torchreid_adv.data.batch import Batch


def same_size(batch: Batch, *, alone: bool = False) -> Iterator[tuple[Tensor, Batch]]:
    """Yield (rows, those rows of a batch at their own size), images of one size together.

    Args:
        batch: images (N, 3, H, W) of any sizes.
        alone: each image by itself.
    """
    canvas = tuple(batch.images.shape[-2:])
    sizes = (
        [canvas] * len(batch) if batch.sizes is None else [tuple(s) for s in batch.sizes.tolist()]
    )
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, size in enumerate(sizes):
        groups.setdefault((row,) if alone else size, []).append(row)
    for rows in groups.values():
        yield torch.tensor(rows), crop(batch, rows, sizes[rows[0]])


def crop(batch: Batch, rows: Sequence[int], size: Sequence[int]) -> Batch:
    """Return some images of a batch that all have one size, without padding."""

    def pick(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[list(rows)]

    return dataclasses.replace(
        batch,
        images=batch.images[list(rows), :, : size[0], : size[1]].contiguous(),
        sizes=None,
        pids=pick(batch.pids),
        camids=pick(batch.camids),
        image_ids=tuple(batch.image_ids[row] for row in rows),
        modality=pick(batch.modality),
        view=pick(batch.view),
    )
