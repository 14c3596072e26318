"""Write an adversarial variant of a data set: every image of it, as PNG, with a manifest.

The work is cut into units that any process can do at any time with the same bytes as the result.
A unit's images are on disk before the ledger says so; what the ledger does not say is done again.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
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
from torchreid_adv.core.files import removed_after, require_space, sweep, unfinished_name
from torchreid_adv.core.manifest import SIDES, Entry, Manifest, sha256
from torchreid_adv.core.owner import require_held
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.loading import batches, read_groups
from torchreid_adv.data.own.written import write_list
from torchreid_adv.errors import DataError, DiskError
from torchreid_adv.models.features import device_of
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.models.prepare import prepared
from torchreid_adv.models.resizing import FileResize
from torchreid_adv.runs.plan import Done, Ledger, WorkUnit, plan
from torchreid_adv.runs.stored import (
    StoredImages,
    StoredUnit,
    joined_facts,
    read_facts,
    read_features,
    read_losses,
    read_stages,
    stored_facts,
    stored_features,
)

Pixels = np.ndarray | list[np.ndarray]  # of an image, or of a tracklet's frames


@dataclass
class ImageWriter:
    """Attacks the images of one side that have references, copies all others pixel for pixel.

    Args:
        model: what is attacked.
        attack: how.
        references: clean features of the other side, and the rule.
        side: ``gallery`` or ``query``.
        folder: where the variant goes.
        job: folder of the ledgers, on the same disk.
        chunk: images attacked together.
        workers: processes that read images.
        team: this process and those it shares the work with.
        resize: of images before they are attacked, to one size; None = they have their own.
        copies: store the images that are not attacked, too.
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
        """Write the variant, or what of it is this process's and not done yet.

        The manifest comes last, so that without it nothing is finished.

        Args:
            data: the data set, without its bad images.
            header: of the manifest, which says by which protocol the data set is scored, too.
            bad: entries of the images that were left out.

        Returns:
            None for a shard while units of others are not done.

        Raises:
            DataError: no image of the side has a reference, or an image cannot be read.
            DiskError: what was stored has been removed meanwhile.
        """
        targets, units = self.targets(data), self.units(data)
        with closing(Ledger(self.job)) as ledger:
            recorded = ledger.replay()
            done = self._kept(units, recorded)
            self._say_missing(recorded.keys() - done.keys())
            mine = [u for u in units if u.number not in done and self.team.does(u.number)]
            self._work(mine, data.root, ledger)
            self.team.wait()
            done = self._kept(units, ledger.replay())
        self._require([unit for unit in units if unit.number not in done])
        if len(done) < len(units):
            return None
        header = {**header, "protocol": data.protocol}
        if data.names:
            header["names"] = {kind: list(words) for kind, words in data.names.items()}
        return self._variant(targets, [done[unit.number] for unit in units], header, bad)

    def _say_missing(self, numbers: Set[int]) -> None:
        if numbers:
            print(
                f"The images of {len(numbers)} recorded units are missing or changed in "
                f"'{self.folder}'; they are made again"
            )

    def _require(self, missing: Sequence[WorkUnit]) -> None:
        """Refuse to end when work that was done is gone.

        Raises:
            DiskError: units of this process, or of any where all are connected, are not there.
        """
        lost = [u for u in missing if self.team.whole or self.team.does(u.number)]
        if lost:
            raise DiskError(
                f"{len(lost)} units of work are not in '{self.folder}' although they were done "
                f"(first: {lost[0].outputs()[0]}): the folder or '{self.job}' was removed or "
                "changed meanwhile. Run the same command again"
            )

    def units(self, data: ReIDData) -> list[WorkUnit]:
        """Return all units of the variant."""
        return plan(data, self.side, self.targets(data), self.chunk, copies=self.copies)

    def require_room(self, data: ReIDData, pixels: int) -> None:
        """Refuse to start what the disk cannot hold, of what no process has stored yet.

        Args:
            data: the data set.
            pixels: of all its images.

        Raises:
            DataError: as :meth:`targets`.
            DiskError: there is not enough room.
        """
        units = self.units(data)
        done = self._kept(units, Ledger(self.job).replay())
        left = [unit for unit in units if unit.number not in done]
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
        found = self.references.known(
            torch.tensor([record.pid for record in records]),
            torch.tensor([record.camid for record in records]),
            [record.image_id for record in records],
        )
        targets = [r for r, has in zip(records, found.tolist(), strict=True) if has]
        if not targets:
            whose = "its target" if self.references.targets else "its identity"
            raise DataError(
                f"no {self.side} image of '{data.name}' has a reference of {whose} on the other "
                f"side (rule '{self.references.rule}'); is the data set split as torchreid expects?"
            )
        return targets

    def _kept(self, units: Sequence[WorkUnit], done: dict[int, Done]) -> dict[int, Done]:
        """Return the recorded units whose files are still there.

        The last unit of each ledger, the one that an end came nearest to, is read again.
        """
        last = {unit.path: unit for unit in sorted(done.values(), key=lambda d: d.offset)}
        doubtful = {unit.unit for unit in last.values() if not self._is_whole(unit)}
        recorded = done.keys() - doubtful
        return {
            unit.number: done[unit.number]
            for unit in units
            if unit.number in recorded
            and all((self.folder / output).is_file() for output in unit.outputs())
        }

    def _is_whole(self, unit: Done) -> bool:
        entries = [Entry.of(facts) for facts in unit.facts["entries"]]
        paths = [(self.folder / entry.output, entry.sha256) for entry in entries]
        return all(path.is_file() and sha256(path.read_bytes()) == own for path, own in paths)

    def _work(self, units: Sequence[WorkUnit], root: Path, ledger: Ledger) -> None:
        """Do units one after the other; each is stored while the next one is computed."""
        if not units:
            return
        for folder in (self.job, self.folder):
            require_held(folder)
            folder.mkdir(parents=True, exist_ok=True)
        scratch = self.job / unfinished_name()
        storing: Future[None] | None = None
        with removed_after(scratch), ThreadPoolExecutor(1) as pool:
            for result in itertools.chain(self._attacked(units), self._copied(units)):
                if storing is not None:
                    storing.result()
                storing = pool.submit(result.store, root, self.folder, scratch, ledger)
            if storing is not None:
                storing.result()

    def _attacked(self, units: Sequence[WorkUnit]) -> Iterator[StoredUnit]:
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
        found = self._batches(unit, images)
        return _joined(unit, [self._part(ready, images[rows], batch) for rows, batch in found])

    def _part(self, ready: nn.Module, images: Sequence[Pixels], batch: Batch) -> _Part:
        found = self.attack(ready, batch, self.references)
        n, clean = len(images), batch.images.cpu()
        with torch.no_grad():
            passed = [found.images, *found.stages().values()]
            features = [batch.embed(ready)(x)[:n].float().cpu() for x in passed]
        levels = pixels.to_uint8(pixels.quantize(found.images.cpu(), clean, self.attack.linf)[:n])
        places = [index for row, index, _, _ in batch.parts() if row < n]
        files = _files(images)
        cut = [levels[i][: f.shape[0], : f.shape[1]] for i, f in zip(places, files, strict=True)]
        return _Part(files, cut, stored_facts(found, n), features)

    def _copied(self, units: Sequence[WorkUnit]) -> Iterator[StoredUnit]:
        units = [unit for unit in units if not unit.attacked]
        for unit, images in zip(units, self._read(units, "copying"), strict=True):
            yield StoredUnit(unit, images, images, {})

    def _read(self, units: Sequence[WorkUnit], description: str) -> Iterator[list[Any]]:
        groups = [unit.records for unit in units]
        return read_groups(groups, workers=self.workers, description=description)

    def _variant(
        self,
        targets: Sequence[Record],
        done: Sequence[Done],
        header: dict[str, Any],
        bad: Sequence[Entry],
    ) -> StoredImages:
        order = {side: place for place, side in enumerate(SIDES)}
        entries = [Entry.of(facts) for unit in done for facts in unit.facts["entries"]]
        entries = sorted([*entries, *bad], key=lambda e: (order[e.side], e.image_id))
        manifest = Manifest(header, tuple(entries))
        if self.team.leads:
            manifest.write(self.folder)
            write_list(self.folder, manifest)
            sweep(self.job)
        self.team.wait()
        attacked = [unit for unit in done if unit.size]
        stuck = [own for unit in attacked for own in unit.facts["stuck"]]
        return StoredImages(
            folder=self.folder,
            manifest=manifest,
            float_features=read_features(targets, attacked),
            before=read_losses(attacked, "before"),
            after=read_losses(attacked, "after"),
            stuck=tuple(r.image_id for r, own in zip(targets, stuck, strict=True) if own),
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
    """Return the parts of a unit as what is stored of it."""
    features = [torch.cat(stage) for stage in zip(*(part.features for part in parts), strict=True)]
    return StoredUnit(
        unit,
        [image for part in parts for image in part.clean],
        [image for part in parts for image in part.images],
        joined_facts([part.facts for part in parts]),
        stored_features(features),
    )


def _resized(image: Pixels, resize: FileResize) -> Pixels:
    if isinstance(image, list):
        return [resize.levels(frame) for frame in image]
    return resize.levels(image)


def _files(images: Sequence[Pixels]) -> list[np.ndarray]:
    """Return images, or the frames of tracklets, in their order."""
    return [f for image in images for f in (image if isinstance(image, list) else [image])]
