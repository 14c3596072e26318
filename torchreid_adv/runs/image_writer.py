"""Write images in units of work: stored, recorded, resumed after a kill, sealed by a manifest.

The work is split into units that any process can do at any time with byte-identical results.
A unit's images are on disk before the ledger records it; unrecorded units are done again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import removed_after, sweep, unfinished_name
from torchreid_adv.core.manifest import SIDES, Entry, Manifest, sha256
from torchreid_adv.core.owner import require_held
from torchreid_adv.core.processes import Team
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.data.loading import Change, read_groups
from torchreid_adv.data.own.written import write_list
from torchreid_adv.errors import DiskError
from torchreid_adv.runs.plan import Done, Ledger, WorkUnit
from torchreid_adv.runs.stored import StoredUnit


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
