"""Which gallery images count for a query: positives, junk, everything else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from torchreid_adv.errors import DataError

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Matches:
    """Gallery images of some queries' own identities, as pairs in the order of (row, column).

    A pair that counts is a positive. Junk is what does not count: as a rule, pairs under the
    query's own camera. It is taken out of the ranking. All other gallery images are negatives.

    Args:
        count: number of queries.
        rows: (P,) int64, query of each positive, counted from the first of these queries.
        columns: (P,) int64, gallery image of each positive.
        junk_rows: (J,) int64, query of each junk image.
        junk_columns: (J,) int64, gallery image of each junk image.
    """

    count: int
    rows: Ints
    columns: Ints
    junk_rows: Ints
    junk_columns: Ints

    @property
    def starts(self) -> Ints:
        """(count + 1,) where the positives of each query start, and where the last ones end."""
        return np.searchsorted(self.rows, np.arange(self.count + 1)).astype(np.int64)


class Labels:
    """Identities and cameras of queries and gallery, checked.

    Args:
        query_pids: (Q,) identities of the queries.
        gallery_pids: (G,) identities of the gallery.
        query_camids: (Q,) cameras of the queries.
        gallery_camids: (G,) cameras of the gallery.
        same_camera: gallery images of the query's own identity and camera do not count.
        same_place: pairs (query camid, gallery camid) of cameras that look at one place: such
            gallery images do not count, whoever is on them.

    Raises:
        DataError: a side is empty, or its pids and camids differ in number.
    """

    def __init__(
        self,
        query_pids: ArrayLike,
        gallery_pids: ArrayLike,
        query_camids: ArrayLike,
        gallery_camids: ArrayLike,
        *,
        same_camera: bool = True,
        same_place: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self.query_pids, self.query_camids = _side("query", query_pids, query_camids)
        self.gallery_pids, self.gallery_camids = _side("gallery", gallery_pids, gallery_camids)
        # stable, so that the images of one identity stay in the order of the gallery
        self.by_pid: Ints = np.argsort(self.gallery_pids, kind="stable").astype(np.int64)
        self._sorted_pids = self.gallery_pids[self.by_pid]
        self.same_camera, self.same_place = same_camera, same_place

    def matches(self, queries: slice) -> Matches:
        """Return the positives and the junk of some queries."""
        pids, camids = self.query_pids[queries], self.query_camids[queries]
        first = np.searchsorted(self._sorted_pids, pids, side="left")
        totals = np.searchsorted(self._sorted_pids, pids, side="right") - first
        rows = np.repeat(np.arange(len(pids)), totals)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(totals) - totals, totals)
        columns = self.by_pid[first[rows] + within]
        junk = np.zeros(len(rows), bool)
        if self.same_camera:
            junk = camids[rows] == self.gallery_camids[columns]
        if not self.same_place:
            return Matches(len(pids), rows[~junk], columns[~junk], rows[junk], columns[junk])
        barred = self._of_one_place(camids)
        barred[rows[junk], columns[junk]] = True
        counts = ~barred[rows, columns]
        junk_rows, junk_columns = (side.astype(np.int64) for side in np.nonzero(barred))
        return Matches(len(pids), rows[counts], columns[counts], junk_rows, junk_columns)

    def counts(self, queries: slice) -> NDArray[np.bool_]:
        """Return (R, G) whether a gallery image counts for each of R queries."""
        matches = self.matches(queries)
        counts = np.ones((matches.count, len(self.gallery_pids)), bool)
        counts[matches.junk_rows, matches.junk_columns] = False
        return counts

    def _of_one_place(self, camids: Ints) -> NDArray[np.bool_]:
        """Return (R, G) the pairs under cameras that look at one place."""
        pairs = np.zeros((len(camids), len(self.gallery_camids)), bool)
        for query, gallery in self.same_place:
            pairs |= (camids[:, None] == query) & (self.gallery_camids == gallery)
        return pairs

    def require_a_positive(self) -> None:
        """Refuse labels with which nothing can be scored.

        Raises:
            DataError: no query has a gallery image of its identity that counts.
        """
        shared = np.isin(self.query_pids, self.gallery_pids)
        camids = np.unique(np.concatenate([self.query_camids, self.gallery_camids]))
        counts = (
            f"{len(self.query_pids)} queries of {len(np.unique(self.query_pids))} identities, "
            f"{len(self.gallery_pids)} gallery images of {len(np.unique(self.gallery_pids))}"
        )
        if not shared.any():
            raise DataError(
                f"all query identities do not appear in the gallery ({counts}, none shared); the "
                "gallery must hold the identities of the queries, seen by other cameras"
            )
        if len(camids) == 1 and self.same_camera:
            raise DataError(
                f"all query and gallery images are of one camera ({camids[0]}), and matches of the "
                "query's own camera do not count; give each image the camid of its camera"
            )
        if not any(len(self.matches(slice(row, row + 1)).rows) for row in np.flatnonzero(shared)):
            raise DataError(
                f"no query identity appears in the gallery under another camera ({counts}, "
                f"{len(np.unique(self.query_pids[shared]))} shared); the gallery must hold the "
                "identities of the queries, seen by other cameras"
            )


def _side(name: str, pids: ArrayLike, camids: ArrayLike) -> tuple[Ints, Ints]:
    pid_array, camid_array = np.asarray(pids), np.asarray(camids)
    if pid_array.ndim != 1 or pid_array.shape != camid_array.shape or not len(pid_array):
        raise DataError(
            f"each {name} image has one pid and one camid and there is at least one, "
            f"got pids of shape {pid_array.shape} and camids of shape {camid_array.shape}"
        )
    return pid_array.astype(np.int64), camid_array.astype(np.int64)
