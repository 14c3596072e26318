"""Stored images: how each is written and recorded in the manifest, and how they are read back."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from torchreid_adv.attacks.loop.gradient_attack import Adversarial
from torchreid_adv.core.files import write_together
from torchreid_adv.core.manifest import LEFT_OUT, SIDES, Entry, Manifest, sha256
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.images import FORMATS, encode_png
from torchreid_adv.data.loading import refuse
from torchreid_adv.models.features import Features
from torchreid_adv.runs.plan import Done, Ledger, WorkUnit, output_of


@dataclass(frozen=True)
class StoredUnit:
    """A computed unit.

    Args:
        unit: the unit.
        clean: original pixels of its image files, uint8 arrays (h, w, 3).
        images: pixels to store, the same.
        facts: for the ledger.
        features: of the images before they were rounded to whole levels, see ``stored_features``.
        corruptions: kind and severity of each image, if images are corrupted.
    """

    unit: WorkUnit
    clean: Sequence[np.ndarray]
    images: Sequence[np.ndarray]
    facts: dict[str, Any]
    features: bytes = b""
    corruptions: Sequence[str] = ()

    def store(self, root: Path, folder: Path, scratch: Path, ledger: Ledger) -> None:
        """Write the images to disk, then record them.

        Args:
            root: data root, which sources are named relative to.
            folder: of the variant.
            scratch: folder for unfinished files.
            ledger: that records it.
        """
        images = zip(self.unit.files, self.clean, self.images, strict=True)
        encoded = [_stored(self.unit, record, root, *pair) for record, *pair in images]
        if self.corruptions:
            pairs = zip(encoded, self.corruptions, strict=True)
            encoded = [(dataclasses.replace(e, corruption=label), png) for (e, png), label in pairs]
        write_together(
            {folder / entry.output: content for entry, content in encoded}, folder, scratch
        )
        facts = {**self.facts, "entries": [vars(entry) for entry, _ in encoded]}
        ledger.append(self.unit.number, facts, self.features)


def _stored(
    unit: WorkUnit, record: Record, root: Path, clean: np.ndarray, image: np.ndarray
) -> tuple[Entry, bytes]:
    """Return the entry of an image and the PNG file that is stored."""
    linf = int((np.maximum(image, clean) - np.minimum(image, clean)).max())
    content, source = encode_png(image), record.path.read_bytes()
    with Image.open(io.BytesIO(source), formats=FORMATS) as header:
        mode = header.mode
    entry = Entry(
        image_id=record.image_id,
        source=source_of(record.path, root),
        source_sha256=sha256(source),
        source_mode=mode,
        output=str(output_of(record.image_id)),
        size=(image.shape[0], image.shape[1]),
        side=unit.side,
        pid=record.pid,
        camid=record.camid,
        attacked=unit.attacked,
        linf=linf,
        changed=linf > 0,
        sha256=sha256(content),
        modality=record.modality,
        tracklet=record.tracklet,
        frame=record.number,
        clothes=record.clothes,
        view=record.view,
    )
    return entry, content


def left_out(record: Record, side: str, root: Path, reason: str) -> Entry:
    """Return the entry of a bad image, which is not stored."""
    return Entry(
        image_id=record.image_id,
        source=source_of(record.path, root),
        source_sha256="",
        source_mode="",
        output=str(output_of(record.image_id)),
        size=(0, 0),
        side=side,
        pid=record.pid,
        camid=record.camid,
        attacked=False,
        linf=0,
        changed=False,
        sha256="",
        status=f"{LEFT_OUT}{reason}",
        modality=record.modality,
        tracklet=record.tracklet,
        frame=record.number,
        clothes=record.clothes,
        view=record.view,
    )


def without_bad(
    data: ReIDData, bad: Mapping[str, str], *, quarantine: bool
) -> tuple[ReIDData, list[Entry]]:
    """Return a data set without its bad images, and the manifest's entries of these.

    Args:
        data: the data set.
        bad: image_id -> what is wrong with it.
        quarantine: continue without them instead of refusing the data set.

    Raises:
        DataError: there are bad images and no ``quarantine``, or all images are bad.
    """
    if not quarantine:
        refuse(dict(bad), len(data.files()))
    missing = [
        left_out(file, side, data.root, bad.get(file.image_id, "a bad frame in its tracklet"))
        for side in SIDES
        for record in data.side(side)
        if record.is_of(bad)
        for file in record.files
    ]
    return data.without(bad), missing


def source_of(path: Path, root: Path) -> str:
    """Return a source file's name, relative to the data root if it is below that.

    Folders below the root may be symbolic links: the name is the one that the data set uses.
    """
    pairs = (root.absolute(), path.absolute()), (root.resolve(), path.resolve())
    for base, file in pairs:
        if file.is_relative_to(base):
            return file.relative_to(base).as_posix()
    return path.as_posix()


def stored_facts(adversarial: Adversarial, count: int) -> dict[str, Any]:
    """Return a ledger's record of the first ``count`` images of a batch."""
    return {
        "before": adversarial.before[:count].tolist(),
        "after": adversarial.after[:count].tolist(),
        "stuck": adversarial.zero_gradient[:count].tolist(),
        "further": {
            name: facts[..., :count].tolist() for name, facts in adversarial.facts().items()
        },
        "stages": list(adversarial.stages()),
    }


def joined_facts(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join the results of :func:`stored_facts` on several batches as if they were one batch."""
    first, *others = parts
    if not others:
        return first
    lists = ("before", "after", "stuck")
    return {
        **{name: [value for part in parts for value in part[name]] for name in lists},
        "further": {
            name: np.concatenate([part["further"][name] for part in parts], axis=-1).tolist()
            for name in first["further"]
        },
        "stages": first["stages"],
    }


def stored_features(features: Sequence[Tensor]) -> bytes:
    """Return the float32 bytes of features (N, D), on the CPU, at the end and at each stage."""
    return np.stack([values.numpy() for values in features]).tobytes()


def read_losses(units: Sequence[Done], name: str) -> Tensor:
    """Return ``before`` or ``after`` (M,) of the M images of all units."""
    return torch.tensor([loss for unit in units for loss in unit.facts[name]])


def read_facts(units: Sequence[Done]) -> dict[str, Tensor]:
    """Return the further facts of the M images of all units: name -> (M,) or (rows, M) float64."""
    names = units[0].facts["further"]
    further = [unit.facts["further"] for unit in units]
    return {
        name: torch.cat(
            [torch.tensor(unit_facts[name], dtype=torch.float64) for unit_facts in further], dim=-1
        )
        for name in names
    }


def read_features(targets: Sequence[Record], units: Sequence[Done], place: int = 0) -> Features:
    """Return the features of the attacked images before rounding.

    Args:
        targets: the attacked images.
        units: their records, in order.
        place: 0 = of the adversarial images, 1 and up = at the intermediate stages.
    """
    parts = []
    for unit in units:
        size = unit.size // (1 + len(unit.facts["stages"]))
        values = np.frombuffer(unit.data(place * size, size), np.float32)
        parts.append(values.reshape(len(unit.facts["before"]), -1))
    return Features.of(targets, torch.from_numpy(np.concatenate(parts)))


def read_stages(
    targets: Sequence[Record], units: Sequence[Done]
) -> dict[int, Callable[[], Features]]:
    """Return answers asked so far -> function that reads the images' features at that stage."""
    stages = units[0].facts["stages"]
    return {
        asked: functools.partial(read_features, targets, units, place)
        for place, asked in enumerate(stages, start=1)
    }


@dataclass(frozen=True)
class StoredImages:
    """A stored variant and the facts recorded while it was made.

    Args:
        folder: holds the images and the manifest.
        manifest: one entry per image.
        float_features: of the attacked images before they were rounded to whole levels.
        before: losses of the clean images.
        after: losses of the adversarial images.
        stuck: image_ids whose gradient was zero in every step.
        seconds: spent on the attack, by all processes together.
        facts: further facts of the attack on its images, in order: name -> (M,) or (rows, M).
        stages: answers asked so far -> function that reads the features of the attacked images at
            that stage, before rounding; in the order of the attack.
    """

    folder: Path
    manifest: Manifest
    float_features: Features
    before: Tensor
    after: Tensor
    stuck: tuple[str, ...]
    seconds: float
    facts: dict[str, Tensor]
    stages: dict[int, Callable[[], Features]]

    @property
    def attacked(self) -> frozenset[str]:
        """Names of the attacked images, or tracklets."""
        stored = self.manifest.stored
        return frozenset(entry.tracklet or entry.image_id for entry in stored if entry.attacked)

    def data(self, source: ReIDData) -> ReIDData:
        """Return the variant as a data set with the image_ids of its source."""
        outputs = {entry.image_id: entry.output for entry in self.manifest.stored}
        sides: dict[str, Any] = {
            side: tuple(
                record.moved(self.folder, outputs)
                for record in source.side(side)
                if record.is_of(outputs)
            )
            for side in SIDES
        }
        return dataclasses.replace(source, root=self.folder, **sides)
