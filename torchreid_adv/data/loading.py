"""Image files as batches, in canonical chunks, with worker processes where they help."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from torchreid_adv import pixels
from torchreid_adv.data.batch import Batch, pad
from torchreid_adv.data.datasets import Record
from torchreid_adv.data.images import read_image, read_pixels
from torchreid_adv.errors import DataError
from torchreid_adv.jobs.chunks import chunks
from torchreid_adv.jobs.progress import progress_bar


class ImageFiles(Dataset[Tensor]):
    """Records as tensors: stored pixels (3, h, w) in [0, 1], or what a PIL transform gives."""

    def __init__(
        self, records: Sequence[Record], transform: Callable[[Any], Tensor] | None = None
    ) -> None:
        self.records = records
        self.transform = transform

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Tensor:
        path = self.records[index].path
        if self.transform is not None:
            return self.transform(read_image(path))
        return pixels.to_tensor(read_pixels(path))


class CheckedFiles(ImageFiles):
    """Records as what is wrong with their files: one sentence each, "" for a good one."""

    def __getitem__(self, index: int) -> Any:
        try:
            read_image(self.records[index].path)
        except DataError as error:
            return str(error)
        return ""


def read_chunks(
    records: Sequence[Record],
    size: int,
    *,
    transform: Callable[[Any], Tensor] | None = None,
    workers: int = 0,
    description: str = "",
) -> Iterator[tuple[list[Record], list[Tensor]]]:
    """Yield ``(records, tensors)`` of canonical chunks, all of ``size`` tensors.

    The last chunk's tensors are filled up by repetition; its records are not, so that
    ``len(records)`` results count.
    """
    plan = list(chunks(range(len(records)), size))
    loader = DataLoader(
        ImageFiles(records, transform),
        batch_sampler=[rows[:count] for rows, count in plan],
        num_workers=workers,
        collate_fn=list,
    )
    with progress_bar(description, total=len(records)) as bar:
        for (rows, count), tensors in zip(plan, loader, strict=True):
            yield [records[row] for row in rows[:count]], tensors + tensors[-1:] * (size - count)
            bar.update(count)


def make_batch(records: Sequence[Record], images: Sequence[Tensor]) -> Batch:
    """Make the batch of some records and their pixels; fillers repeat the last record."""
    filled = [*records, *[records[-1]] * (len(images) - len(records))]
    canvas, sizes = pad(images)
    return Batch(
        images=canvas,
        sizes=sizes,
        pids=torch.tensor([record.pid for record in filled]),
        camids=torch.tensor([record.camid for record in filled]),
        image_ids=tuple(record.image_id for record in filled),
    )


def check_images(records: Sequence[Record], *, workers: int = 0) -> None:
    """Decode every image and name all the bad ones at once, before anything is computed.

    Raises:
        DataError: some cannot be used.
    """
    loader = DataLoader(CheckedFiles(records), batch_size=64, num_workers=workers, collate_fn=list)
    wrong = []
    with progress_bar("checking images", total=len(records)) as bar:
        for answers in loader:
            wrong += [answer for answer in answers if answer]
            bar.update(len(answers))
    if wrong:
        more = f" (and {len(wrong) - 5} more)" if len(wrong) > 5 else ""
        raise DataError(
            f"{len(wrong)} of {len(records)} images are bad: " + "; ".join(wrong[:5]) + more
        )
