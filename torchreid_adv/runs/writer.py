"""Write an adversarial variant of a data set: all its images as PNG, with a manifest."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchreid_adv.attacks.loop.gradient_attack import Attack
from torchreid_adv.attacks.references import References
from torchreid_adv.core import pixels
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.files import require_space
from torchreid_adv.core.manifest import Entry
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.loading import batches
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.models.features import device_of
from torchreid_adv.models.pixel_model import ImageModel, PixelModel
from torchreid_adv.models.prepare import prepared
from torchreid_adv.models.resizing import FileResize
from torchreid_adv.runs.plan import Done, WorkUnit, plan
from torchreid_adv.runs.stored import (
    StoredImages,
    joined_facts,
    read_facts,
    read_features,
    read_losses,
    read_stages,
    stored_facts,
    stored_features,
)
from torchreid_adv.runs.unit_writer import StoredUnit, UnitWriter, header_of

Pixels = np.ndarray | list[np.ndarray]  # of an image, or of a tracklet's frames


@dataclass
class ImageWriter(UnitWriter):
    """Attacks the images of one side that have references, copies all others pixel for pixel.

    Args:
        model: to attack.
        attack: on that model.
        references: clean features of the other side, and the rule.
        side: ``gallery`` or ``query``.
        folder: of the variant.
        job: folder of the ledgers, on the same disk.
        chunk: images attacked together.
        workers: processes that read images.
        team: this process and those it shares the work with.
        resize: of images before they are attacked, to one size; None = they keep their sizes.
        copies: also store the images that are not attacked.
    """

    model: ImageModel
    attack: Attack
    references: References
    side: str
    folder: Path
    job: Path
    chunk: int = 16
    workers: int = 0
    team: Team = ALONE
    resize: FileResize | None = None
    copies: bool = True

    def write(
        self, data: ReIDData, header: dict[str, Any], bad: Sequence[Entry] = ()
    ) -> StoredImages | None:
        """Write the variant, or this process's share of the units that are not done yet.

        The manifest is written last: a variant without it is not finished.

        Args:
            data: the data set, without its bad images.
            header: of the manifest; the protocol of the data set is added.
            bad: entries of the images that were left out.

        Returns:
            None for a shard while units of others are not done.

        Raises:
            DataError: no image of the side has a reference, or an image cannot be read.
            DiskError: stored files were removed meanwhile.
        """
        targets, finished = self.targets(data), self.stored(self.units(data), data.root)
        return (
            None
            if finished is None
            else self._variant(targets, finished, header_of(data, header), bad)
        )

    def units(self, data: ReIDData) -> list[WorkUnit]:
        """Return all units of the variant."""
        return plan(data, self.side, self.targets(data), self.chunk, copies=self.copies)

    def require_room(self, data: ReIDData, pixels: int) -> None:
        """Refuse to start if the disk cannot hold the units that no process has stored yet.

        Args:
            data: the data set.
            pixels: of all its images.

        Raises:
            DataError: as :meth:`targets`.
            DiskError: there is not enough room.
        """
        left = self.left(self.units(data))
        images = sum(len(unit.files) for unit in left)
        resized = sum(len(unit.files) for unit in left if unit.attacked) if self.resize else 0
        mean = pixels / len(data.files())
        room = (images - resized) * mean + resized * math.prod(
            self.resize.size if self.resize else ()
        )
        require_space(self.folder, images=images, pixels=round(room))

    def targets(self, data: ReIDData) -> list[Record]:
        """Return the images to attack: those of the side that have a reference.

        Raises:
            DataError: there is none.
        """
        records = data.side(self.side)
        has_reference = self.references.known(
            torch.tensor([record.pid for record in records]),
            torch.tensor([record.camid for record in records]),
            [record.image_id for record in records],
        )
        targets = [r for r, has in zip(records, has_reference.tolist(), strict=True) if has]
        if not targets:
            whose = "its target" if self.references.targets else "its identity"
            raise DataError(
                f"no {self.side} image of '{data.name}' has a reference of {whose} on the other "
                f"side (rule '{self.references.rule}'); is the data set split as torchreid expects?"
            )
        return targets

    def _changed(self, units: Sequence[WorkUnit]) -> Iterator[StoredUnit]:
        units = [unit for unit in units if unit.attacked]
        with ExitStack() as stack:
            ready, started = None, time.perf_counter()
            for unit, read in zip(units, self._read(units, "attacking"), strict=True):
                if self.resize is not None:
                    read = [_resized(image, self.resize) for image in read]
                images = read
                if ready is None:
                    _, batch = next(self._batches(unit, images))
                    precision = getattr(self.attack, "precision", "fp32")
                    ready = stack.enter_context(
                        prepared(self.model, batch.images, precision=precision)
                    )
                result = self._result(ready, unit, images)
                seconds, started = time.perf_counter() - started, time.perf_counter()
                result.facts["seconds"] = seconds
                yield result

    def _batches(self, unit: WorkUnit, images: Sequence[Pixels]) -> Iterator[tuple[slice, Batch]]:
        for rows, batch in batches(unit.records, images, self.chunk):
            yield rows, batch.to(device_of(self.model))

    def _result(self, ready: nn.Module, unit: WorkUnit, images: Sequence[Pixels]) -> StoredUnit:
        batches = self._batches(unit, images)
        return _joined(unit, [self._part(ready, images[rows], batch) for rows, batch in batches])

    def _part(self, ready: nn.Module, images: Sequence[Pixels], batch: Batch) -> _Part:
        adversarial = self.attack(ready, batch, self.references)
        n, clean = len(images), batch.images.cpu()
        with torch.no_grad():
            passed = [adversarial.images, *adversarial.stages().values()]
            features = [batch.embed(ready)(x)[:n].float().cpu() for x in passed]
        levels = pixels.to_uint8(
            pixels.quantize(adversarial.images.cpu(), clean, self.attack.linf)[:n]
        )
        places = [index for row, index, _, _ in batch.parts() if row < n]
        files = _files(images)
        cut = [levels[i][: f.shape[0], : f.shape[1]] for i, f in zip(places, files, strict=True)]
        return _Part(files, cut, stored_facts(adversarial, n), features)

    def _variant(
        self,
        targets: Sequence[Record],
        finished: Sequence[Done],
        header: dict[str, Any],
        bad: Sequence[Entry],
    ) -> StoredImages:
        manifest = self.sealed(finished, header, bad)
        attacked = [unit for unit in finished if unit.size]
        stuck = [is_stuck for unit in attacked for is_stuck in unit.facts["stuck"]]
        return StoredImages(
            folder=self.folder,
            manifest=manifest,
            float_features=read_features(targets, attacked),
            before=read_losses(attacked, "before"),
            after=read_losses(attacked, "after"),
            stuck=tuple(r.image_id for r, is_stuck in zip(targets, stuck, strict=True) if is_stuck),
            seconds=sum(unit.facts["seconds"] for unit in attacked),
            facts=read_facts(attacked),
            stages=read_stages(targets, attacked),
        )


@dataclass(frozen=True)
class _Part:
    """Images of a unit that were attacked together.

    Args:
        clean: original pixels of the n images' files, uint8 arrays (h, w, 3).
        images: adversarial pixels, the same.
        facts: see :func:`stored_facts`.
        features: (n, D) of the images at the end and at each stage.
    """

    clean: list[np.ndarray]
    images: list[np.ndarray]
    facts: dict[str, Any]
    features: list[Tensor]


def _joined(unit: WorkUnit, parts: Sequence[_Part]) -> StoredUnit:
    """Join the parts of a unit."""
    features = [torch.cat(stage) for stage in zip(*(part.features for part in parts), strict=True)]
    return StoredUnit(
        unit,
        [image for part in parts for image in part.clean],
        [image for part in parts for image in part.images],
        joined_facts([part.facts for part in parts]),
        stored_features(features),
    )


def attacked_resize(space: str, model: ImageModel) -> FileResize | None:
    """Return the resize before an attack, None if images keep their stored size.

    Args:
        space: ``stored`` or ``network``.
        model: to attack.

    Raises:
        ConfigError: ``network`` with models of several input sizes or that resize differently.
    """
    if space == "stored":
        return None
    size: Any = model.size
    sizes = {tuple(shape) for shape in (size if isinstance(size, list) else [size])}
    if len(sizes) > 1:
        raise ConfigError(
            f"adv.attack.space network is one size, and the attacked models have inputs of "
            f"{', '.join(f'{h}x{w}' for h, w in sorted(sizes))}; use space stored"
        )
    parts = [part for part in model.modules() if isinstance(part, PixelModel)]
    resizes = [part.preprocessing.of_files for part in parts]
    if any(resize.facts() != resizes[0].facts() for resize in resizes):
        raise ConfigError(
            "adv.attack.space network resizes images once, and the attacked models resize by "
            f"{', '.join(sorted({part.resize_name for part in parts}))}; use space stored"
        )
    return resizes[0]


def resize_facts(space: str, model: ImageModel) -> dict[str, Any]:
    """Return a manifest's entry on :func:`attacked_resize`, empty for Pillow's bilinear resize.

    Raises:
        ConfigError: see :func:`attacked_resize`.
    """
    resize = attacked_resize(space, model)
    facts = {} if resize is None else resize.facts()
    return {"resize": facts} if facts else {}


def _resized(image: Pixels, resize: FileResize) -> Pixels:
    if isinstance(image, list):
        return [resize.levels(frame) for frame in image]
    return resize.levels(image)


def _files(images: Sequence[Pixels]) -> list[np.ndarray]:
    """Return images, or the frames of tracklets, in their order."""
    return [f for image in images for f in (image if isinstance(image, list) else [image])]
