"""The two tracks: queries attacked one by one, and a gallery that serves all queries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.core.manifest import Entry, sha256
from torchreid_adv.data.datasets import Record
from torchreid_adv.standard.scores import BROKEN, CLEAN, COMPOSED, Scores, Table
from torchreid_adv.standard.session import Setting, Stored


class QueryTrack:
    """Queries are attacked, the gallery is clean: each query has a worst attack of its own.

    Args:
        setting: of the run.
        eps: bound in gray levels.
    """

    def __init__(self, setting: Setting, eps: float) -> None:
        self.setting, self.eps = setting, eps
        judge = setting.judge
        clean = setting.clean()
        self.table = Table(judge.query.pids.numpy(), clean)
        self.chance = judge.chances()
        self.stored: dict[str, Stored] = {}
        self.root = ""

    def run(self) -> Table:
        """Run all attacks, each on the queries that no other one has broken, and compose."""
        for member in self.setting.members():
            left = self.table.valid & (member.everywhere | ~self.broken())
            if left.any():
                self._attack(member.name, left)
        self.root = self.setting.compose(f"Q-eps{self.eps:g}", self.entries())
        return self.table

    def broken(self) -> NDArray[np.bool_]:
        """(Q,) the queries that rank no better than twice chance."""
        return np.asarray(self.table.worst() <= BROKEN * self.chance)

    def entries(self) -> dict[str, tuple[Entry, Path]]:
        """Return image_id -> the file of its worst attack; none where that is no attack."""
        found = {}
        for record, name in zip(self.setting.data.query, self.table.by(), strict=True):
            if name != CLEAN:
                entry, folder = self.stored[name].entries[record.image_id]
                found[record.image_id] = (entry, folder)
        return found

    def _attack(self, name: str, left: NDArray[np.bool_]) -> None:
        setting = self.setting
        records = [r for r, one in zip(setting.data.query, left, strict=True) if one]
        stored = self.stored[name] = setting.run(name, "Q", self.eps, records)
        self.table.scores[name] = setting.scored(
            f"Q-eps{self.eps:g}-{name}",
            stored.root,
            lambda: setting.judge.score("query", stored.records),
        )


class GalleryTrack:
    """Gallery images are attacked, queries are clean: one gallery has to serve all queries.

    The attack is chosen per identity, by the mean average precision of its queries, and of that one
    gallery is composed. Identities compete in a list, so that this need not be the worst gallery:
    what counts is the lowest mAP among it and the galleries on the way, each scored end to end.

    Args:
        setting: of the run.
        eps: bound in gray levels.
    """

    def __init__(self, setting: Setting, eps: float) -> None:
        self.setting, self.eps = setting, eps
        judge = setting.judge
        clean = setting.clean()
        self.table = Table(judge.query.pids.numpy(), clean)
        self.chance = judge.chances()
        self.pids = np.unique(self.table.pids[self.table.valid])
        self.means = self._means(clean.ap)  # of each identity, what its best attack so far leaves
        self.chosen: dict[int, str] = dict.fromkeys(self.pids.tolist(), CLEAN)
        self.stored: dict[str, Stored] = {}
        self.present = {CLEAN: dict(self.chosen)}  # galleries that were scored end to end
        self.root = ""

    def run(self) -> Table:
        """Run all attacks on what no other one has broken, compose, and store the worst gallery.

        Returns:
            scores of the galleries that stood on the way, and of the composed one.
        """
        limits = self._means(BROKEN * self.chance)
        for member in self.setting.members():
            left = {
                pid
                for pid in self.pids.tolist()
                if member.everywhere or not self._broken(pid, limits)
            }
            if left:
                self._attack(member.name, left)
        self._score(COMPOSED, dict(self.chosen))
        best, _ = self.robust()
        entries = self.entries(self.present[best])
        self.root = self.setting.compose(f"G-eps{self.eps:g}", entries)
        return self.table

    def robust(self) -> tuple[str, Scores]:
        """Return the gallery with the lowest mAP of those that were scored end to end."""
        known = {CLEAN: self.table.clean, **self.table.scores}
        name = min(reversed(known), key=lambda one: float(np.nanmean(known[one].ap)))
        return name, known[name]

    def entries(self, present: dict[int, str]) -> dict[str, tuple[Entry, Path]]:
        """Return image_id -> its file in a gallery; none for what is clean in it.

        Args:
            present: identity -> attack.
        """
        found = {}
        for name in set(present.values()) - {CLEAN}:
            for image_id, (entry, folder) in self.stored[name].entries.items():
                if present.get(entry.pid) == name:
                    found[image_id] = (entry, folder)
        return found

    def _broken(self, pid: int, limits: dict[int, float]) -> bool:
        return self.means[pid] <= limits[pid]

    def _means(self, values: NDArray[np.float64]) -> dict[int, float]:
        """Return identity -> mean over its queries."""
        pids = self.table.pids
        return {int(pid): float(np.nanmean(values[pids == pid])) for pid in self.pids}

    def _attack(self, name: str, left: set[int]) -> None:
        setting = self.setting
        records = [r for r in setting.data.gallery if r.pid in left]
        self.stored[name] = setting.run(name, "G", self.eps, records)
        present = {**self.chosen, **dict.fromkeys(left, name)}
        means = self._means(self._score(name, present).ap)
        for pid in left:
            if means[pid] < self.means[pid]:
                self.means[pid], self.chosen[pid] = means[pid], name

    def _records(self, chosen: dict[int, str]) -> list[Record]:
        """Return the stored images of a gallery in which each identity has an attack."""
        return [
            record
            for name in dict.fromkeys(chosen.values())
            if name != CLEAN
            for record in self.stored[name].records
            if chosen.get(record.pid) == name
        ]

    def _score(self, name: str, present: dict[int, str]) -> Scores:
        """Score the gallery in which each identity has some attack's images, and remember it."""
        roots = sorted((one, stored.root) for one, stored in self.stored.items())
        key = sha256(f"{roots} {sorted(present.items())}".encode())
        judge, records = self.setting.judge, self._records(present)
        scores = self.setting.scored(
            f"G-eps{self.eps:g}-{name}", key, lambda: judge.score("gallery", records)
        )
        self.table.scores[name], self.present[name] = scores, present
        return scores
