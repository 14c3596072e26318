"""Image files as batches, in canonical chunks, with worker processes if they help."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from torchreid_adv.core import pixels
from torchreid_adv.core.batch import Batch, canvas, filled, pad_clips, together
from torchreid_adv.core.contents import Contents, Stamp, digest_of, stamp_of
from torchreid_adv.core.files import name_fault
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.core.speaking import progress_bar
from torchreid_adv.data.images import read_image, read_pixels
from torchreid_adv.data.records import Record, modalities
from torchreid_adv.errors import DataError, printable

Change = Callable[[Record, np.ndarray], Any]  # of a file's pixels, uint8 (h, w, 3)


class ImageFiles(Dataset[Any]):
    """Records as stored pixels, or as the output of a PIL transform.

    An image is a uint8 array (h, w, 3), a tracklet a list of them: the frames ``seen``. A transform
    gets one image, or the list of a clip's images. Pixels may be changed before that.
    """

    def __init__(
        self,
        records: Sequence[Record],
        transform: Callable[[Any], Any] | None = None,
        change: Change | None = None,
    ) -> None:
        self.records = records
        self.transform = transform
        self.change = change

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Any:
        record = self.records[index]
        if self.transform is None:
            pixels = [self._pixels(file) for file in record.seen]
            return pixels if record.frames else pixels[0]
        images = [self._image(file) for file in record.seen]
        if record.frames:
            return self.transform([images[place] for place in record.places])
        return self.transform(images[0])

    def _pixels(self, file: Record) -> Any:
        image = read_pixels(file.path)
        return image if self.change is None else self.change(file, image)

    def _image(self, file: Record) -> Image.Image:
        if self.change is None:
            return read_image(file.path)
        return Image.fromarray(self._pixels(file))


class CheckedFiles(ImageFiles):
    """Records as (problem of the file or "", its pixels, stamp, SHA-256)."""

    def __getitem__(self, index: int) -> Any:
        record = self.records[index]
        stamp, digest = stamp_of(record.path), digest_of(record.path)
        fault = name_fault(record.image_id)
        if fault:
            return f"the name '{printable(record.image_id)}' {fault}", 0, stamp, digest
        try:
            image = read_image(record.path)
        except DataError as error:
            return str(error), 0, stamp, digest
        return "", image.width * image.height, stamp, digest


def read_groups(
    groups: Sequence[Sequence[Record]],
    *,
    transform: Callable[[Any], Any] | None = None,
    change: Change | None = None,
    workers: int = 0,
    description: str = "",
) -> Iterator[list[Any]]:
    """Yield the images of each group of records, reading ahead with worker processes.

    See :class:`ImageFiles` for the form of an image.
    """
    records = [record for group in groups for record in group]
    ends = itertools.accumulate(len(group) for group in groups)
    rows = [list(range(end - len(g), end)) for g, end in zip(groups, ends, strict=True)]
    loader = DataLoader(
        ImageFiles(records, transform, change),
        batch_sampler=rows,
        num_workers=workers,
        collate_fn=list,
    )
    with progress_bar(description, total=len(records)) as bar:
        for images in loader:
            yield images
            bar.update(len(images))


def make_batch(records: Sequence[Record], images: Sequence[Any]) -> Batch:
    """Build the batch of some records and their pixels; fillers repeat the last record.

    Args:
        records: images or tracklets.
        images: their images from :func:`read_groups`.
    """
    all_records = filled(records, len(images))
    places = None
    if records[0].frames:
        clips = [[pixels.to_tensor(frame) for frame in frames] for frames in images]
        padded, sizes, places = pad_clips(clips, [record.places for record in all_records])
    else:
        padded, sizes = canvas([pixels.to_tensor(image) for image in images])
    return Batch(
        images=padded,
        sizes=sizes,
        pids=torch.tensor([record.pid for record in all_records]),
        camids=torch.tensor([record.camid for record in all_records]),
        image_ids=tuple(record.image_id for record in all_records),
        modality=modalities(all_records),
        places=places,
        view=_views(all_records),
    )


def _views(records: Sequence[Record]) -> torch.Tensor | None:
    """Return the viewpoints (N,) of records, None if one has none."""
    views = [getattr(record, "view", None) for record in records]
    return None if None in views else torch.tensor(views)


def batches(
    records: Sequence[Record], images: Sequence[Any], size: int
) -> Iterator[tuple[slice, Batch]]:
    """Yield the images of a chunk as batches: one, unless its canvas would be mostly padding.

    Every batch is filled up to the same size, and no image depends on others, so the division does
    not change results; it bounds the memory of images with very different shapes.

    Args:
        records: images or tracklets of the chunk.
        images: their pixels, as yielded by :func:`read_groups`.
        size: size of a chunk.
    """
    shapes = [[f.shape[:2] for f in (i if isinstance(i, list) else [i])] for i in images]
    for rows in together(shapes, size):
        yield rows, make_batch(records[rows], filled(images[rows], size))


def check_images(
    records: Sequence[Record],
    *,
    workers: int = 0,
    team: Team = ALONE,
    contents: Contents | None = None,
) -> tuple[dict[str, str], int]:
    """Decode every image before anything is computed; processes of a team share the work.

    Args:
        records: image files.
        workers: processes that read them.
        team: this process and those that share the work.
        contents: receives the hashes of the files.

    Returns:
        image_id -> problem, for all bad images; and the number of pixels of the good ones.
    """
    assigned = [r for number, r in enumerate(records) if not team.connected or team.does(number)]
    loader = DataLoader(CheckedFiles(assigned), batch_size=64, num_workers=workers, collate_fn=list)
    answers: list[tuple[str, int, Stamp, str]] = []
    with progress_bar("checking images", total=len(assigned)) as bar:
        for part in loader:
            answers += part
            bar.update(len(part))
    bad = {r.image_id: answer[0] for r, answer in zip(assigned, answers, strict=True) if answer[0]}
    pixels = team.total(np.array([sum(answer[1] for answer in answers)], np.int64))
    for record, (_, _, stamp, digest) in zip(assigned, answers, strict=True):
        if contents is not None:
            contents.learn(record.path, stamp, digest)
    return dict(sorted(team.shared(bad).items())), int(pixels[0])


def refuse(bad: dict[str, str], total: int) -> None:
    """Report bad images, if there are any.

    Raises:
        DataError: there are bad images.
    """
    if bad:
        more = f" (and {len(bad) - 5} more)" if len(bad) > 5 else ""
        raise DataError(
            f"{len(bad)} of {total} images are bad: "
            + "; ".join([*bad.values()][:5])
            + f"{more}; fix them, or leave them out with adv.job.quarantine True"
        )
