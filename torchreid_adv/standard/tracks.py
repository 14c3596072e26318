"""The two tracks: queries attacked one by one, and a gallery that serves all queries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.core.manifest import Entry, sha256
from torchreid_adv.data.datasets import Record
from torchreid_adv.standard import rounds
from torchreid_adv.standard.ensemble import Member
from torchreid_adv.standard.scores import BROKEN, CLEAN, COMPOSED, QueryScores, Table
from torchreid_adv.standard.session import Session, Stored


class QueryTrack:
    """Queries are attacked, the gallery is clean: each query has its own worst attack.

    Args:
        session: of the run.
        eps: bound in gray levels.
    """

    def __init__(self, session: Session, eps: float) -> None:
        self.session, self.eps = session, eps
        judge = session.judge
        clean = session.clean()
        self.table = Table(judge.query.pids.numpy(), clean)
        self.chance = judge.chances()
        self.stored: dict[str, Stored] = {}
        self.root = ""

    def run(self) -> Table:
        """Run all attacks, each on the queries that the version selects, and compose."""
        for member in self.session.members():
            left = self.table.valid & self._rows(member)
            if left.any():
                self._attack(member.name, left)
        self.root = self.session.compose(f"Q-eps{self.eps:g}", self.entries())
        return self.table

    def broken(self) -> NDArray[np.bool_]:
        """(Q,) the queries that rank no better than twice chance."""
        return np.asarray(self.table.worst() <= BROKEN * self.chance)

    def _rows(self, member: Member) -> NDArray[np.bool_]:
        """(Q,) the queries that an attack is run on."""
        version, worst = self.session.version, self.table.worst()
        if not version.rounds:
            return np.asarray(member.everywhere | ~self.broken())
        if member.arm:
            left = {name: scores.ap for name, scores in self.table.scores.items()}
            return rounds.rows_of_round(version, member, left, len(worst))
        if member.name == rounds.AUDIT:
            return rounds.audited(version, self.session.data.query, self.table.valid)
        if member.name == "square":
            return rounds.most_robust(worst, BROKEN * self.chance)
        return np.ones(len(worst), dtype=bool)

    def entries(self) -> dict[str, tuple[Entry, Path]]:
        """Return image_id -> the file of its worst attack, without images that stay clean."""
        files = {}
        for record, name in zip(self.session.data.query, self.table.by(), strict=True):
            if name != CLEAN:
                entry, folder = self.stored[name].entries[record.image_id]
                files[record.image_id] = (entry, folder)
        return files

    def _attack(self, name: str, left: NDArray[np.bool_]) -> None:
        session = self.session
        records = [r for r, attacked in zip(session.data.query, left, strict=True) if attacked]
        stored = self.stored[name] = session.run(name, "Q", self.eps, records)
        self.table.scores[name] = session.scored(
            f"Q-eps{self.eps:g}-{name}",
            stored.root,
            lambda: session.judge.score("query", stored.records),
        )


class GalleryTrack:
    """Gallery images are attacked, queries are clean: one gallery must serve all queries.

    The attack is chosen per identity, by the mean average precision of its queries, and these
    images are composed into one gallery. Identities compete in a list, so this may not be the worst
    gallery: the result is the lowest mAP among it and the intermediate galleries, each scored end
    to end.

    Args:
        session: of the run.
        eps: bound in gray levels.
    """

    def __init__(self, session: Session, eps: float) -> None:
        self.session, self.eps = session, eps
        judge = session.judge
        clean = session.clean()
        self.table = Table(judge.query.pids.numpy(), clean)
        self.chance = judge.chances()
        self.pids = np.unique(self.table.pids[self.table.valid])
        self.means = self._means(clean.ap)  # identity -> mean under its best attack so far
        self.chosen: dict[int, str] = dict.fromkeys(self.pids.tolist(), CLEAN)
        self.stored: dict[str, Stored] = {}
        self.present = {CLEAN: dict(self.chosen)}  # galleries that were scored end to end
        self.left: dict[str, NDArray[np.float64]] = {}  # attack -> (I,) mean of each identity
        self.root = ""

    def run(self) -> Table:
        """Run all attacks on identities that are not broken yet, compose, store the worst gallery.

        Returns:
            scores of the intermediate galleries, and of the composed one.
        """
        limits = self._means(BROKEN * self.chance)
        for member in self.session.members():
            left = self._identities(member, limits)
            if left:
                self._attack(member.name, left)
        self._score(COMPOSED, dict(self.chosen))
        best, _ = self.robust()
        entries = self.entries(self.present[best])
        self.root = self.session.compose(f"G-eps{self.eps:g}", entries)
        return self.table

    def robust(self) -> tuple[str, QueryScores]:
        """Return the gallery with the lowest mAP among those scored end to end."""
        known = {CLEAN: self.table.clean, **self.table.scores}
        name = min(reversed(known), key=lambda gallery: float(np.nanmean(known[gallery].ap)))
        return name, known[name]

    def entries(self, present: dict[int, str]) -> dict[str, tuple[Entry, Path]]:
        """Return image_id -> its file in a gallery, without images that are clean in it.

        Args:
            present: identity -> attack.
        """
        files = {}
        for name in set(present.values()) - {CLEAN}:
            for image_id, (entry, folder) in self.stored[name].entries.items():
                if present.get(entry.pid) == name:
                    files[image_id] = (entry, folder)
        return files

    def _identities(self, member: Member, limits: dict[int, float]) -> set[int]:
        """Return the identities whose images an attack is run on."""
        version, pids = self.session.version, self.pids.tolist()
        if not version.rounds:
            return {pid for pid in pids if member.everywhere or self.means[pid] > limits[pid]}
        if member.arm:
            rows = rounds.rows_of_round(version, member, self.left, len(pids))
            return {pid for pid, row in zip(pids, rows, strict=True) if row}
        if member.name == "square":
            means, limit = (
                np.array([values[pid] for pid in pids]) for values in (self.means, limits)
            )
            rows = rounds.most_robust(means, limit)
            return {pid for pid, row in zip(pids, rows, strict=True) if row}
        return set() if member.name == rounds.AUDIT else set(pids)

    def _means(self, values: NDArray[np.float64]) -> dict[int, float]:
        """Return identity -> mean over its queries."""
        pids = self.table.pids
        return {int(pid): float(np.nanmean(values[pids == pid])) for pid in self.pids}

    def _attack(self, name: str, left: set[int]) -> None:
        session = self.session
        records = [r for r in session.data.gallery if r.pid in left]
        self.stored[name] = session.run(name, "G", self.eps, records)
        present = {**self.chosen, **dict.fromkeys(left, name)}
        means = self._means(self._score(name, present).ap)
        self.left[name] = np.array(
            [means[pid] if pid in left else np.nan for pid in self.pids.tolist()]
        )
        for pid in left:
            if means[pid] < self.means[pid]:
                self.means[pid], self.chosen[pid] = means[pid], name

    def _records(self, attack_of: dict[int, str]) -> list[Record]:
        """Return the stored images of a gallery, given each identity's attack."""
        return [
            record
            for name in dict.fromkeys(attack_of.values())
            if name != CLEAN
            for record in self.stored[name].records
            if attack_of.get(record.pid) == name
        ]

    def _score(self, name: str, present: dict[int, str]) -> QueryScores:
        """Score the gallery with the given attack of each identity, and remember it."""
        roots = sorted((attack, stored.root) for attack, stored in self.stored.items())
        key = sha256(f"{roots} {sorted(present.items())}".encode())
        judge, records = self.session.judge, self._records(present)
        scores = self.session.scored(
            f"G-eps{self.eps:g}-{name}", key, lambda: judge.score("gallery", records)
        )
        self.table.scores[name], self.present[name] = scores, present
        return scores
