"""Records: an image file or a tracklet, with its labels in a data set."""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.data.cross_modality.frames import DRAWN, frame_rule
from torchreid_adv.data.cross_modality.modality import modality_of
from torchreid_adv.errors import ConfigError, DataError


@dataclass(frozen=True, order=True)
class Record:
    """One image file of a data set, or one tracklet.

    Args:
        image_id: split folder and path below it, unique in the data set; for a tracklet, the names
            of its first and last frame.
        path: the file; for a tracklet, the first frame in a test.
        pid: identity (0 and -1 are distractors and junk in Market-1501).
        camid: camera, from 0.
        modality: 0 visible, 1 infrared; None if the data set does not say.
        tracklet: tracklet of a frame.
        number: position of a frame in its tracklet, from 0.
        frames: frames of a tracklet, in order; empty = an image.
        clip: numbers of a tracklet's frames in a test; frames of a short tracklet repeat.
        clothes: clothes, "" if the data set does not say.
        view: number of the side or height that the camera looks from, from 0; None if the data set
            does not say.
    """

    image_id: str
    path: Path
    pid: int
    camid: int
    modality: int | None = None
    tracklet: str = ""
    number: int = 0
    frames: tuple[Record, ...] = ()
    clip: tuple[int, ...] = ()
    clothes: str = ""
    view: int | None = None

    @property
    def files(self) -> tuple[Record, ...]:
        """All of its image files."""
        return self.frames or (self,)

    @property
    def seen(self) -> tuple[Record, ...]:
        """The image files used in a test, each once."""
        return tuple(self.frames[number] for number in dict.fromkeys(self.clip)) or (self,)

    @property
    def places(self) -> tuple[int, ...]:
        """The index into ``seen`` for each position of the clip."""
        order = {number: place for place, number in enumerate(dict.fromkeys(self.clip))}
        return tuple(order[number] for number in self.clip) or (0,)

    def is_of(self, image_ids: Collection[str]) -> bool:
        """Tell whether one of its files is among some images."""
        return any(file.image_id in image_ids for file in self.files)

    def moved(self, folder: Path, outputs: Mapping[str, str]) -> Record:
        """Return the same record with the paths of files that are stored elsewhere.

        Args:
            folder: their folder.
            outputs: image_id -> name below the folder.
        """
        if not self.frames:
            return dataclasses.replace(self, path=folder / outputs[self.image_id])
        frames = tuple(
            frame.moved(folder, outputs) if frame.image_id in outputs else frame
            for frame in self.frames
        )
        return dataclasses.replace(self, path=frames[self.clip[0]].path, frames=frames)


def modalities(records: Sequence[Record]) -> Tensor | None:
    """Return the modalities (N,) of N records, None if one has none."""
    values = [record.modality for record in records]
    return None if None in values else torch.tensor(values)


def clothes_of(records: Sequence[Record]) -> tuple[str, ...] | None:
    """Return the clothes of N records, None if no record has any."""
    worn = tuple(record.clothes for record in records)
    return worn if any(worn) else None


def camera_labels(records: Sequence[Record], names: Sequence[str]) -> dict[str, Tensor]:
    """Return ``camera`` and ``view`` (N,) of N records, as requested by a model.

    Raises:
        DataError: the data set has no views.
    """
    attributes = {"camera": "camid", "view": "view"}
    labels = {n: [getattr(record, attributes[n]) for record in records] for n in names}
    for name, values in labels.items():
        if None in values:
            raise DataError(f"the model takes the {name} of each image, and this set has none")
    return {name: torch.tensor(values) for name, values in labels.items()}


def image_records(
    dataset: Any, rows: Sequence[Any], folder: Path, split: str
) -> tuple[Record, ...]:
    """Return the images of one side of a torchreid data set.

    Args:
        dataset: the torchreid data set.
        rows: tuples (path, pid, camid, dsetid).
        folder: common folder of all paths.
        split: prefix of their names.

    Raises:
        DataError: two images would get the same name.
    """
    names = _Names(folder, split)
    tells = getattr(dataset, "modalities", False)
    return tuple(
        sorted(
            Record(
                names.of(row[0]),
                Path(row[0]),
                int(row[1]),
                int(row[2]),
                modality_of(row) if tells else None,
                **told_of(dataset, row[0]),
            )
            for row in rows
        )
    )


def told_of(dataset: Any, path: str) -> dict[str, Any]:
    """Return clothes and view of a file, as far as the data set has them.

    Args:
        dataset: the torchreid data set; its attributes ``clothes`` and ``views`` map paths to
            names, and to numbers from 0.
        path: the file, or a tracklet's first frame.
    """
    by_path = {"clothes": getattr(dataset, "clothes", {}), "view": getattr(dataset, "views", {})}
    return {name: words[path] for name, words in by_path.items() if path in words}


def tracklet_records(
    dataset: Any, rows: Sequence[Any], folder: Path, split: str
) -> tuple[Record, ...]:
    """Return the tracklets of one side, each with its frames in a test.

    Args:
        dataset: the torchreid data set, with ``seq_len`` and ``sample_method``.
        rows: tuples (paths, pid, camid, dsetid).
        folder: common folder of all paths.
        split: prefix of their names.

    Raises:
        ConfigError: the rule draws frames at random in tests.
        DataError: a frame is listed twice.
    """
    if dataset.sample_method in DRAWN:
        raise ConfigError(
            f"video.sample_method '{dataset.sample_method}' draws other frames for each test, but "
            "the attacked frames have to be the scored ones; choose restricted, grid or evenly"
        )
    rule = frame_rule(dataset.sample_method, training=False)
    names = _Names(folder, split)
    tells = getattr(dataset, "modalities", False)
    records = []
    for row in rows:
        labels = int(row[1]), int(row[2]), modality_of(row) if tells else None
        ids = [names.of(path, once=True) for path in row[0]]
        name = f"{PurePosixPath(ids[0]).with_suffix('')}-{PurePosixPath(ids[-1]).stem}"
        told = told_of(dataset, row[0][0])
        frames = tuple(
            Record(image_id, Path(path), *labels, tracklet=name, number=number, **told)
            for number, (image_id, path) in enumerate(zip(ids, row[0], strict=True))
        )
        clip = tuple(rule(len(frames), dataset.seq_len))
        first = frames[clip[0]].path
        records.append(Record(name, first, *labels, frames=frames, clip=clip, **told))
    return tuple(sorted(records))


class _Names:
    """Names of image files that stay unique when stored with another suffix."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = folder, split
        self._outputs: dict[str, str] = {}

    def of(self, path: str, *, once: bool = False) -> str:
        """Return the image_id of a file.

        Args:
            path: the file.
            once: it must not have been requested before.

        Raises:
            DataError: another file would be stored under the same name.
        """
        image_id = f"{self.split}/{Path(path).relative_to(self.folder).as_posix()}"
        output = unicodedata.normalize("NFC", os.path.splitext(image_id)[0]).lower()
        known = self._outputs.get(output)
        if known == path and once:
            raise DataError(
                f"the frame '{path}' is listed twice, and each of two tracklets would change it; "
                "correct the list of tracklets"
            )
        if self._outputs.setdefault(output, path) != path:
            raise DataError(
                f"'{path}' and '{known}' differ by suffix, case or Unicode form only; rename one"
            )
        return image_id
