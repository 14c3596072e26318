"""Write an adversarial variant of a data set: every image of it, as PNG, with a manifest."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchreid_adv import pixels
from torchreid_adv.attacks.gradient_attack import Attack
from torchreid_adv.attacks.references import References
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.images import write_png
from torchreid_adv.data.loading import make_batch, read_chunks
from torchreid_adv.errors import DataError
from torchreid_adv.jobs.manifest import SIDES, Entry, Manifest, sha256
from torchreid_adv.models.extract import device_of
from torchreid_adv.models.features import Features
from torchreid_adv.models.pixel_model import PixelModel
from torchreid_adv.models.prepare import prepared


@dataclass
class Variant:
    """A stored variant and what was seen while it was made.

    Args:
        folder: holds the images and the manifest.
        manifest: one entry per image.
        float_features: of the attacked images before they were rounded to whole levels.
        before: losses of the clean images.
        after: losses of the adversarial images.
        stuck: image_ids whose gradient was zero in every step.
        seconds: spent on the attack.
    """

    folder: Path
    manifest: Manifest
    float_features: Features
    before: Tensor
    after: Tensor
    stuck: tuple[str, ...]
    seconds: float

    def data(self, source: ReIDData) -> ReIDData:
        """Return the variant as a data set with the image_ids of its source."""
        sides = {
            side: tuple(
                Record(e.image_id, self.folder / e.output, e.pid, e.camid)
                for e in self.manifest.side(side)
            )
            for side in SIDES
        }
        return ReIDData(name=source.name, root=self.folder, **sides)


@dataclass
class VariantWriter:
    """Attacks the images of one side that have references, copies all others pixel for pixel.

    Args:
        model: what is attacked.
        attack: how.
        references: clean features of the other side, and the rule.
        side: ``gallery`` or ``query``.
        folder: where the variant goes.
        chunk: images attacked together.
        workers: processes that read images.
    """

    model: PixelModel
    attack: Attack
    references: References
    side: str
    folder: Path
    chunk: int = 16
    workers: int = 0
    _entries: list[Entry] = field(default_factory=list)
    _parts: list[list[Tensor]] = field(default_factory=list)

    def write(self, data: ReIDData, header: dict[str, Any]) -> Variant:
        """Write the variant; the manifest comes last, so that without it nothing is finished.

        Raises:
            DataError: no image of the side has a reference, or an image cannot be read.
        """
        targets = self.targets(data)
        started = time.perf_counter()
        self._attack(targets, data.root)
        seconds = time.perf_counter() - started
        attacked = {record.image_id for record in targets}
        for side in SIDES:
            rest = [r for r in data.side(side) if side != self.side or r.image_id not in attacked]
            self._copy(rest, side, data.root)
        order = {side: place for place, side in enumerate(SIDES)}
        entries = sorted(self._entries, key=lambda e: (order[e.side], e.image_id))
        manifest = Manifest(header, tuple(entries))
        manifest.write(self.folder)
        features, before, after, stuck = (
            torch.cat(part) for part in zip(*self._parts, strict=True)
        )
        return Variant(
            folder=self.folder,
            manifest=manifest,
            float_features=_features(targets, features),
            before=before,
            after=after,
            stuck=tuple(r.image_id for r, s in zip(targets, stuck.tolist(), strict=True) if s),
            seconds=seconds,
        )

    def targets(self, data: ReIDData) -> list[Record]:
        """Return the images to attack: those of the side that have a reference.

        Raises:
            DataError: there is none.
        """
        records = data.side(self.side)
        found = self.references.mask(
            torch.tensor([record.pid for record in records]),
            torch.tensor([record.camid for record in records]),
            [record.image_id for record in records],
        ).any(1)
        targets = [r for r, has in zip(records, found.tolist(), strict=True) if has]
        if not targets:
            raise DataError(
                f"no {self.side} image of '{data.name}' has a reference of its identity on the "
                "other side; is the data set split as torchreid expects?"
            )
        return targets

    def _attack(self, targets: Sequence[Record], root: Path) -> None:
        device = device_of(self.model)
        with ExitStack() as stack:
            ready = None
            for records, images in self._read(targets, f"attacking {self.side}"):
                batch = make_batch(records, images).to(device)
                if ready is None:
                    precision = getattr(self.attack, "precision", "fp32")
                    ready = stack.enter_context(
                        prepared(self.model, batch.images, precision=precision)
                    )
                found = self.attack(ready, batch, self.references)
                with torch.no_grad():
                    features = ready(found.images, sizes=batch.sizes)
                parts = (features, found.before, found.after, found.zero_gradient)
                n = len(records)
                self._parts.append([part[:n].cpu() for part in parts])
                stored = pixels.quantize(found.images.cpu(), batch.images.cpu(), self.attack.linf)
                for record, clean, image in zip(records, images, stored, strict=False):
                    image = image[:, : clean.shape[-2], : clean.shape[-1]]
                    self._store(record, self.side, root, clean, image, attacked=True)

    def _copy(self, records: Sequence[Record], side: str, root: Path) -> None:
        for part, images in self._read(records, f"copying {side}"):
            for record, clean in zip(part, images, strict=False):
                self._store(record, side, root, clean, clean, attacked=False)

    def _read(
        self, records: Sequence[Record], description: str
    ) -> Iterator[tuple[list[Record], list[Tensor]]]:
        return read_chunks(records, self.chunk, workers=self.workers, description=description)

    def _store(
        self, record: Record, side: str, root: Path, clean: Tensor, image: Tensor, *, attacked: bool
    ) -> None:
        output = PurePosixPath(record.image_id).with_suffix(".png")
        stored, original = pixels.to_uint8(image), pixels.to_uint8(clean)
        content = write_png(self.folder / output, stored)
        linf = int(np.abs(stored.astype(np.int16) - original.astype(np.int16)).max())
        self._entries.append(
            Entry(
                image_id=record.image_id,
                source=_relative(record.path, root),
                output=str(output),
                side=side,
                pid=record.pid,
                camid=record.camid,
                attacked=attacked,
                linf=linf,
                changed=linf > 0,
                sha256=sha256(content),
            )
        )


def _features(records: Sequence[Record], values: Tensor) -> Features:
    return Features(
        values=values.float(),
        pids=torch.tensor([record.pid for record in records]),
        camids=torch.tensor([record.camid for record in records]),
        image_ids=tuple(record.image_id for record in records),
    )


def _relative(path: Path, root: Path) -> str:
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.as_posix()
