"""Which gallery images count for a query, and the exact ranks of its positives.

The rank of a positive is the number of gallery images that are not junk and are nearer to the
query; among ties, images that come first in the gallery count as nearer. Counts of blocks add up,
and only the ranks of the positives are needed, so there is no full sort and no matrix of all
distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.errors import DataError
from torchreid_adv.evaluation.blocks import Block, spans

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


# rows that a thread processes together: their distances to a gallery block fit into its cache
_SLAB = 16
# bytes of distances of a block of queries that stay in memory until they are counted
_KEPT = 800_000_000

Part = tuple[slice, NDArray[Any]]  # a block of gallery images and the distances to them


def positive_ranks(
    distances: Block,
    labels: Labels,
    rows: list[slice],
    columns: list[slice],
    team: Team = ALONE,
) -> tuple[Ints, Ints]:
    """Return the 0-based ranks of all positives, and where those of each query start.

    Args:
        distances: returns the distances of a block.
        labels: identities and cameras of Q queries and the gallery.
        rows: blocks of queries.
        columns: blocks of gallery images. The positives' distances must be known before counting
            starts: up to 800 MB of blocks wait in memory, and further blocks are requested again.
        team: connected processes that share the blocks of gallery images; all get all ranks.

    Returns:
        (P,) ranks, query after query, and (Q + 1,) their starts.

    Raises:
        DataError: the distance to a positive is not finite.
    """
    ranks, counts = [], []
    assigned = [c for number, c in enumerate(columns) if not team.connected or team.does(number)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for queries in rows:
            matches = labels.matches(queries)
            ranks.append(_ranks(distances, matches, queries, assigned, pool, team))
            counts.append(np.diff(matches.starts))
    starts = np.cumsum(np.concatenate([[0], *counts]))
    return np.concatenate(ranks), starts.astype(np.int64)


def _ranks(
    distances: Block,
    matches: Matches,
    queries: slice,
    columns: list[slice],
    pool: Executor,
    team: Team,
) -> Ints:
    """Return the ranks of the positives of one block of queries.

    A positive is compared with other images by exactly the number in its row: another product of
    the same features may round differently.
    """
    positive_distances = np.zeros(len(matches.rows))
    stored_blocks: list[Part] = []
    later_spans = []
    for span in columns:
        block = distances(queries, span)
        in_span = _inside(matches.columns, span)
        positive_distances[in_span] = block[
            matches.rows[in_span], matches.columns[in_span] - span.start
        ]
        if (
            not stored_blocks
            or sum(part.nbytes for _, part in stored_blocks) + block.nbytes <= _KEPT
        ):
            stored_blocks.append((span, block))
        else:
            later_spans.append(span)
        del block  # frees its memory for the next block
    positive_distances = team.assembled(positive_distances)
    if not np.isfinite(positive_distances).all():
        raise DataError("a distance to a positive is not finite; normalize the features")
    ranks = _count(stored_blocks, positive_distances, matches, pool)
    stored_blocks.clear()
    for span in later_spans:
        ranks += _count([(span, distances(queries, span))], positive_distances, matches, pool)
    return team.total(ranks)


def _count(
    parts: list[Part], positive_distances: NDArray[Any], matches: Matches, pool: Executor
) -> Ints:
    """Return how many images of some gallery blocks come before each positive.

    The blocks are changed: junk becomes infinity, and positives get the numbers in
    ``positive_distances``, whatever a second product of the same block returned.
    """
    nearer, not_farther = (
        np.zeros(len(positive_distances), np.int64),
        np.zeros(len(positive_distances), np.int64),
    )
    if not parts:  # a process may have no block
        return nearer
    positive_distances = positive_distances.astype(parts[0][1].dtype)
    among = np.zeros(len(positive_distances), np.int64)
    for span, block in parts:
        inside = _inside(matches.columns, span)
        block[matches.rows[inside], matches.columns[inside] - span.start] = positive_distances[
            inside
        ]
        junk = _inside(matches.junk_columns, span)
        block[matches.junk_rows[junk], matches.junk_columns[junk] - span.start] = np.inf
        among += inside
    hardest = np.full((matches.count, 1), -np.inf, positive_distances.dtype)
    np.maximum.at(hardest[:, 0], matches.rows, positive_distances)
    starts = matches.starts.tolist()

    def look(rows: slice) -> None:
        near = [_near(block[rows], hardest[rows]) for _, block in parts]
        for row, *pieces in zip(range(rows.start, rows.stop), *near, strict=True):
            positives = slice(starts[row], starts[row + 1])
            if positives.start == positives.stop:
                continue
            values = np.concatenate(pieces)
            values.sort()
            nearer[positives] = values.searchsorted(positive_distances[positives], side="left")
            not_farther[positives] = values.searchsorted(
                positive_distances[positives], side="right"
            )

    for _ in pool.map(look, spans(matches.count, _SLAB)):
        pass
    for tied in np.flatnonzero(not_farther - nearer > among):
        row, column = matches.rows[tied], matches.columns[tied]
        for span, block in parts:
            earlier = block[row, : max(column - span.start, 0)]
            nearer[tied] += np.count_nonzero(earlier == positive_distances[tied])
    return nearer


def _near(block: NDArray[Any], hardest: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the distances of each row that do not exceed that of its hardest positive."""
    # by index: numpy selects many values by a mask several times more slowly
    masks = block <= hardest
    return [row[np.flatnonzero(mask)] for row, mask in zip(block, masks, strict=True)]


def _inside(columns: Ints, span: slice) -> NDArray[np.bool_]:
    return (columns >= span.start) & (columns < span.stop)
