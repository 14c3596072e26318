"""Identities and cameras of queries and gallery, and which gallery images count for a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from torchreid_adv.errors import DataError

Ints = NDArray[np.int64]


Clothes = tuple[Sequence[str] | None, Sequence[str] | None]  # of queries and gallery


@dataclass(frozen=True, eq=False)
class Matches:
    """Gallery images of the same identities as some queries, as pairs ordered by (row, column).

    A pair that counts is a positive. A pair that does not count is junk, usually because the
    cameras are the same; it is removed from the ranking. All other gallery images are negatives.

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
        """(count + 1,) start of the positives of each query, and the end of the last ones."""
        return np.searchsorted(self.rows, np.arange(self.count + 1)).astype(np.int64)


class Labels:
    """Identities and cameras of queries and gallery, checked.

    Args:
        query_pids: (Q,) identities of the queries.
        gallery_pids: (G,) identities of the gallery.
        query_camids: (Q,) cameras of the queries.
        gallery_camids: (G,) cameras of the gallery.
        same_camera: gallery images of the query's identity and camera do not count.
        same_place: pairs (query camid, gallery camid) of cameras that show the same place: such
            gallery images do not count, of any identity.
        same_clothes: "" = clothes do not matter; "ignored" = gallery images of the query's
            identity in the query's clothes do not count; "required" = those in other clothes do not
            count.
        clothes: clothes on the Q query and G gallery images, if they matter.

    Raises:
        DataError: a side is empty, its pids and camids differ in number, or clothes matter and are
            unknown.
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
        same_clothes: str = "",
        clothes: Clothes = (None, None),
    ) -> None:
        self.query_pids, self.query_camids = _side("query", query_pids, query_camids)
        self.gallery_pids, self.gallery_camids = _side("gallery", gallery_pids, gallery_camids)
        # stable: the images of an identity stay in the order of the gallery
        self.by_pid: Ints = np.argsort(self.gallery_pids, kind="stable").astype(np.int64)
        self._sorted_pids = self.gallery_pids[self.by_pid]
        self.same_camera, self.same_place = same_camera, same_place
        self.same_clothes = same_clothes
        counts = len(self.query_pids), len(self.gallery_pids)
        self._clothes = _worn(clothes, counts) if same_clothes else None

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
        if self._clothes is not None:
            worn, others = self._clothes
            alike = worn[queries][rows] == others[columns]
            junk |= alike if self.same_clothes == "ignored" else ~alike
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
        """Return (R, G) the pairs of cameras that show the same place."""
        pairs = np.zeros((len(camids), len(self.gallery_camids)), bool)
        for query, gallery in self.same_place:
            pairs |= (camids[:, None] == query) & (self.gallery_camids == gallery)
        return pairs

    def _any_positive(self, shared: NDArray[np.bool_]) -> bool:
        """Tell whether any of some queries has a positive."""
        rows = np.flatnonzero(shared)
        return any(len(self.matches(slice(row, row + 1)).rows) for row in rows)

    def require_a_positive(self) -> None:
        """Refuse labels that leave nothing to score.

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
                f"all query and gallery images have one camera ({camids[0]}), but matches from the "
                "query's camera do not count; give each image the camid of its camera"
            )
        if self.same_clothes and not self._any_positive(shared):
            worn = "other" if self.same_clothes == "ignored" else "the same"
            raise DataError(
                f"no query identity appears in the gallery in {worn} clothes ({counts}, "
                f"{len(np.unique(self.query_pids[shared]))} shared), as the protocol asks for; is "
                "this the right protocol for the data set?"
            )
        if not self._any_positive(shared):
            raise DataError(
                f"no query identity appears in the gallery under another camera ({counts}, "
                f"{len(np.unique(self.query_pids[shared]))} shared); the gallery must hold the "
                "identities of the queries, seen by other cameras"
            )


def _worn(clothes: Clothes, counts: tuple[int, int]) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Return the clothes on the images of both sides.

    Raises:
        DataError: they are not known for all images.
    """
    sides = []
    for side, worn, count in zip(("query", "gallery"), clothes, counts, strict=True):
        known = [] if worn is None else [text for text in worn if text]
        if len(known) != count:
            raise DataError(
                f"the protocol asks what people wear, and that is known of {len(known)} of {count} "
                f"{side} images; give each image its clothes (column 'clothes' of a list), or "
                "choose another protocol"
            )
        sides.append(np.asarray(known))
    return sides[0], sides[1]


def _side(name: str, pids: ArrayLike, camids: ArrayLike) -> tuple[Ints, Ints]:
    pid_array, camid_array = np.asarray(pids), np.asarray(camids)
    if pid_array.ndim != 1 or pid_array.shape != camid_array.shape or not len(pid_array):
        raise DataError(
            f"each {name} image has one pid and one camid and there is at least one, "
            f"got pids of shape {pid_array.shape} and camids of shape {camid_array.shape}"
        )
    return pid_array.astype(np.int64), camid_array.astype(np.int64)
