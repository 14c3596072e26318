"""Write images in units of work: stored, recorded, resumed after a kill, sealed by a manifest.

The work is split into units that any process can do at any time with byte-identical results.
A unit's images are on disk before the ledger records it; unrecorded units are done again.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from torchreid_adv.core.files import removed_after, sweep, unfinished_name, write_together
from torchreid_adv.core.manifest import LEFT_OUT, SIDES, Entry, Manifest, sha256
from torchreid_adv.core.owner import require_held
from torchreid_adv.core.processes import Team
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.data.images import FORMATS, encode_png
from torchreid_adv.data.loading import Change, read_groups, refuse
from torchreid_adv.data.own.written import write_list
from torchreid_adv.errors import DiskError
from torchreid_adv.runs.plan import Done, Ledger, WorkUnit, output_of

BAD_FRAME = "a bad frame in its tracklet"


class UnitWriter:
    """Base of the writers of stored data sets; a subclass makes the images.

    Attributes:
        folder: of the images and the manifest.
        job: folder of the ledgers, on the same disk.
        workers: processes that read images.
        team: this process and those it shares the work with.
    """

    folder: Path
    job: Path
    workers: int
    team: Team

    def _changed(self, units: Sequence[WorkUnit]) -> Iterator[StoredUnit]:
        """Yield the results of the units whose images are changed, one by one."""
        raise NotImplementedError

    def stored(self, units: Sequence[WorkUnit], root: Path) -> list[Done] | None:
        """Do this process's share of the units that are not done yet.

        Args:
            units: the whole plan.
            root: data root, which sources are named relative to.

        Returns:
            the records of all units, in their order; None for a shard while units of others are
            not done.

        Raises:
            DataError: an image cannot be read.
            DiskError: stored files were removed meanwhile.
        """
        with closing(Ledger(self.job)) as ledger:
            recorded = ledger.replay()
            finished = self._still_stored(units, recorded)
            self._say_missing(recorded.keys() - finished.keys())
            mine = [u for u in units if u.number not in finished and self.team.does(u.number)]
            self._work(mine, root, ledger)
            self.team.wait()
            finished = self._still_stored(units, ledger.replay())
        self._require([unit for unit in units if unit.number not in finished])
        return [finished[unit.number] for unit in units] if len(finished) == len(units) else None

    def left(self, units: Sequence[WorkUnit]) -> list[WorkUnit]:
        """Return the units that no process has stored yet."""
        finished = self._still_stored(units, Ledger(self.job).replay())
        return [unit for unit in units if unit.number not in finished]

    def sealed(
        self, finished: Sequence[Done], header: dict[str, Any], bad: Sequence[Entry] = ()
    ) -> Manifest:
        """Write the manifest, which marks the data set as finished, and the list next to it.

        Args:
            finished: all units.
            header: of the manifest.
            bad: entries of the images that were left out.
        """
        order = {side: place for place, side in enumerate(SIDES)}
        entries = [Entry.of(facts) for unit in finished for facts in unit.facts["entries"]]
        entries = sorted([*entries, *bad], key=lambda e: (order[e.side], e.image_id))
        manifest = Manifest(header, tuple(entries))
        if self.team.leads:
            manifest.write(self.folder)
            write_list(self.folder, manifest)
            sweep(self.job)
        self.team.wait()
        return manifest

    def _say_missing(self, numbers: Set[int]) -> None:
        if numbers:
            print(
                f"The images of {len(numbers)} recorded units are missing or changed in "
                f"'{self.folder}'; they will be attacked again"
            )

    def _require(self, missing: Sequence[WorkUnit]) -> None:
        """Refuse to end when finished work is gone.

        Raises:
            DiskError: units of this process, or of any connected process, are missing.
        """
        lost = [u for u in missing if self.team.whole or self.team.does(u.number)]
        if lost:
            raise DiskError(
                f"{len(lost)} units of work are not in '{self.folder}' although they were done "
                f"(first: {lost[0].outputs()[0]}): the folder or '{self.job}' was removed or "
                "changed meanwhile. Run the same command again"
            )

    def _still_stored(
        self, units: Sequence[WorkUnit], recorded: dict[int, Done]
    ) -> dict[int, Done]:
        """Return the recorded units whose files are still there.

        The last unit of each ledger may have been interrupted, so its files are read again.
        """
        last = {unit.path: unit for unit in sorted(recorded.values(), key=lambda d: d.offset)}
        doubtful = {unit.unit for unit in last.values() if not self._is_whole(unit)}
        whole = recorded.keys() - doubtful
        return {
            unit.number: recorded[unit.number]
            for unit in units
            if unit.number in whole
            and all((self.folder / output).is_file() for output in unit.outputs())
        }

    def _is_whole(self, unit: Done) -> bool:
        entries = [Entry.of(facts) for facts in unit.facts["entries"]]
        paths = [(self.folder / entry.output, entry.sha256) for entry in entries]
        return all(path.is_file() and sha256(path.read_bytes()) == digest for path, digest in paths)

    def _work(self, units: Sequence[WorkUnit], root: Path, ledger: Ledger) -> None:
        """Do units one after the other; each is stored while the next is computed."""
        if not units:
            return
        for folder in (self.job, self.folder):
            require_held(folder)
            folder.mkdir(parents=True, exist_ok=True)
        scratch = self.job / unfinished_name()
        storing: Future[None] | None = None
        with removed_after(scratch), ThreadPoolExecutor(1) as pool:
            for result in itertools.chain(self._changed(units), self._copied(units)):
                if storing is not None:
                    storing.result()
                storing = pool.submit(result.store, root, self.folder, scratch, ledger)
            if storing is not None:
                storing.result()

    def _copied(self, units: Sequence[WorkUnit]) -> Iterator[StoredUnit]:
        units = [unit for unit in units if not unit.attacked]
        for unit, images in zip(units, self._read(units, "copying"), strict=True):
            yield StoredUnit(unit, images, images, {})

    def _read(
        self, units: Sequence[WorkUnit], description: str, change: Change | None = None
    ) -> Iterator[list[Any]]:
        groups = [unit.records for unit in units]
        return read_groups(groups, change=change, workers=self.workers, description=description)


def header_of(data: ReIDData, header: dict[str, Any]) -> dict[str, Any]:
    """Return the header of a manifest with the data set's protocol and names."""
    names = {kind: list(words) for kind, words in data.names.items()}
    return {**header, "protocol": data.protocol, **({"names": names} if names else {})}


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
    entry = _entry(
        record,
        unit.side,
        root,
        source_sha256=sha256(source),
        source_mode=mode,
        size=(image.shape[0], image.shape[1]),
        attacked=unit.attacked,
        linf=linf,
        changed=linf > 0,
        sha256=sha256(content),
    )
    return entry, content


def _entry(record: Record, side: str, root: Path, **stored: Any) -> Entry:
    """Return the entry of an image; ``stored`` has the fields of its file, if it is stored."""
    nothing: dict[str, Any] = {"source_sha256": "", "source_mode": "", "size": (0, 0)}
    nothing |= {"attacked": False, "linf": 0, "changed": False, "sha256": ""}
    return Entry(
        image_id=record.image_id,
        source=source_of(record.path, root),
        output=str(output_of(record.image_id)),
        side=side,
        pid=record.pid,
        camid=record.camid,
        modality=record.modality,
        tracklet=record.tracklet,
        frame=record.number,
        clothes=record.clothes,
        view=record.view,
        **{**nothing, **stored},
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
        _entry(file, side, data.root, status=LEFT_OUT + bad.get(file.image_id, BAD_FRAME))
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
