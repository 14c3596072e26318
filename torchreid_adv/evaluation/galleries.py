"""Protocols that define their galleries: SYSU-MM01, RegDB, LLCM, BUPTCampus and others."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.errors import DataError
from torchreid_adv.evaluation.labels import Clothes, Ints, Labels
from torchreid_adv.evaluation.metrics import match_curve, scores
from torchreid_adv.evaluation.ranking import Block, spans
from torchreid_adv.evaluation.result import REPORTED_RANKS, RetrievalResult
from torchreid_adv.registry import PROTOCOLS

_LATER = ("per_camera", "same_clothes")  # rules added after the first release of results
_ROWS = 256  # queries whose distances are held in memory at a time

# columns of a drawn gallery, None for all -> distances of queries to these images
Blocks = Callable[[Ints | None], Block]


@dataclass(frozen=True)
class GalleryRules:
    """The gallery images that count for a query, and the unit of the match curve.

    Args:
        galleries: number of galleries, drawn with the seeds 0, 1...; results are means over them.
        shots: images drawn for each identity and camera; 0 = all images, without a draw.
        same_place: pairs (query camid, gallery camid), from 0, of cameras that show the same place:
            such gallery images do not count, of any identity.
        same_camera: gallery images of the query's identity and camid do not count.
        per_identity: the match curve counts identities instead of images.
        per_camera: draw images for each identity and camera; False = for each identity.
        same_clothes: as in :class:`Labels`: "", "ignored" or "required".
    """

    galleries: int = 1
    shots: int = 0
    same_place: tuple[tuple[int, int], ...] = ()
    same_camera: bool = True
    per_identity: bool = False
    per_camera: bool = True
    same_clothes: str = ""

    @property
    def drawn(self) -> bool:
        """Whether each gallery is ranked separately; else one pass over all images is enough."""
        return self.galleries > 1 or self.shots > 0 or self.per_identity

    @property
    def uneven(self) -> bool:
        """Whether a query is left out of the galleries in which it was drawn."""
        return self.shots > 0 and self.same_camera and not self.per_camera

    def labels(
        self,
        query_pids: Ints,
        gallery_pids: Ints,
        query_camids: Ints,
        gallery_camids: Ints,
        *,
        clothes: Clothes = (None, None),
    ) -> Labels:
        """Return labels that apply these rules; arguments as for :class:`Labels`."""
        return Labels(
            query_pids,
            gallery_pids,
            query_camids,
            gallery_camids,
            same_camera=self.same_camera,
            same_place=self.same_place,
            same_clothes=self.same_clothes,
            clothes=clothes,
        )

    def facts(self) -> dict[str, Any]:
        """Return the rules as plain values; newer rules only if they differ from their default.

        This keeps results and caches from before these rules valid.
        """
        facts = {**asdict(self), "same_place": [list(pair) for pair in self.same_place]}
        later = {f.name: f.default for f in fields(self) if f.name in _LATER}
        return {key: value for key, value in facts.items() if later.get(key, _LATER) != value}


@PROTOCOLS.register("sysu_mm01", title="ten galleries, one image of an identity by each camera")
def sysu_mm01() -> GalleryRules:
    """Return the rules of SYSU-MM01's single-shot search; cameras 3 and 2 are in the same room."""
    return GalleryRules(10, 1, same_place=((2, 1),), same_camera=False, per_identity=True)


@PROTOCOLS.register("regdb", title="all images; nothing is left out")
def regdb() -> GalleryRules:
    """Return the rules of RegDB, whose ten trials are ten splits of the identities."""
    return GalleryRules(same_camera=False)


@PROTOCOLS.register("llcm", title="as sysu_mm01; the query's own camera does not count")
def llcm() -> GalleryRules:
    """Return the rules of LLCM."""
    return GalleryRules(10, 1, per_identity=True)


@PROTOCOLS.register("bupt_campus", title="all tracklets; nothing is left out")
def bupt_campus() -> GalleryRules:
    """Return the rules of BUPTCampus."""
    return GalleryRules(same_camera=False)


@PROTOCOLS.register("no_cameras", title="all images; no camera is left out")
def no_cameras() -> GalleryRules:
    """Return the rules for data sets without cameras, such as Celeb-reID."""
    return GalleryRules(same_camera=False)


@PROTOCOLS.register(
    "clothes_changed", title="images in the query's clothes, or by its camera, do not count"
)
def clothes_changed() -> GalleryRules:
    """Return the clothes-changing rules of LTCC and CCVID: matches wear other clothes."""
    return GalleryRules(same_clothes="ignored")


@PROTOCOLS.register(
    "clothes_same", title="images in other clothes, or by the query's camera, do not count"
)
def clothes_same() -> GalleryRules:
    """Return the same-clothes rules of LTCC and CCVID: matches wear the query's clothes."""
    return GalleryRules(same_clothes="required")


@PROTOCOLS.register("prcc", title="ten galleries, one image of each identity; nothing is left out")
def prcc() -> GalleryRules:
    """Return the rules of PRCC, whose queries and gallery are of different cameras."""
    return GalleryRules(10, 1, same_camera=False, per_camera=False)


@PROTOCOLS.register(
    "vehicleid", title="ten galleries, one image of each vehicle; all its other images are queries"
)
def vehicleid() -> GalleryRules:
    """Return the rules of VehicleID, in which each image counts as a camera.

    Every test image is a query and may be drawn for a gallery. A drawn image is the only one of its
    vehicle there and does not count for its own query, so it is not a query of that gallery.
    """
    return GalleryRules(10, 1, per_camera=False)


def drawn_gallery(pids: Ints, camids: Ints, rules: GalleryRules, *, seed: int) -> Ints:
    """Return the columns of a gallery, in increasing order.

    As in the released code of SYSU-MM01's and LLCM's protocols, draws come from Python's generator
    seeded with the gallery's number, for each identity and camera, both in increasing order. They
    depend only on the order of the images of an identity under a camera.

    Args:
        pids: (G,) identities.
        camids: (G,) cameras.
        rules: the number of images to draw.
        seed: number of the gallery.
    """
    if not rules.shots:
        return np.arange(len(pids))
    groups: dict[tuple[int, int], list[int]] = {}
    for column, (pid, camid) in enumerate(zip(pids.tolist(), camids.tolist(), strict=True)):
        groups.setdefault((pid, camid if rules.per_camera else 0), []).append(column)
    generator = random.Random(seed)
    drawn: list[int] = []
    for _, columns in sorted(groups.items()):
        if rules.shots == 1:
            drawn.append(generator.choice(columns))
        else:
            drawn += sorted(generator.sample(columns, min(rules.shots, len(columns))))
    return np.array(sorted(drawn))


def evaluate_drawn(
    blocks: Blocks,
    labels: Labels,
    image_ids: Sequence[str],
    rules: GalleryRules,
    *,
    ap_rule: str,
    length: int,
) -> RetrievalResult:
    """Rank each drawn gallery for each query; a query counts once for each gallery.

    Ties rank in the order of the gallery. A query without a match in a gallery is skipped there.

    Args:
        blocks: returns distances of a block of queries to the images of a drawn gallery.
        labels: identities and cameras of all queries and gallery images.
        image_ids: names of the queries.
        rules: the galleries.
        ap_rule: an entry of :data:`torchreid_adv.evaluation.metrics.AP_RULES`.
        length: ranks of the match curve.

    Returns:
        scores of Q x galleries rows, gallery after gallery; with several galleries, names end in
        ``#<gallery>``.

    Raises:
        DataError: no query has a match in any gallery.
    """
    ranked: list[tuple[Ints, int]] = []
    for number in range(rules.galleries):
        columns = drawn_gallery(labels.gallery_pids, labels.gallery_camids, rules, seed=number)
        ranked += _ranked(blocks(columns), labels, columns)
    ranks = np.concatenate([matches for matches, _ in ranked])
    if not len(ranks):
        raise DataError(
            "no query identity appears in a gallery by the rules of the protocol; are query and "
            "gallery of the same data set?"
        )
    starts = np.cumsum([0, *(len(matches) for matches, _ in ranked)]).astype(np.int64)
    precision, first, penalty = scores(ranks, starts, ap_rule=ap_rule)
    valid = first >= 0
    counted = np.array([people for _, people in ranked]) if rules.per_identity else first
    hits = (counted[:, None] < np.array(REPORTED_RANKS)).astype(np.float64)
    return RetrievalResult(
        tuple(_names(image_ids, rules.galleries)),
        np.tile(labels.query_pids, rules.galleries),
        precision,
        first,
        penalty,
        valid,
        match_curve(counted[valid], length),
        ap_rule,
        hits=np.where(valid[:, None], hits, np.nan),
        galleries=rules.galleries,
    )


def _names(image_ids: Sequence[str], galleries: int) -> list[str]:
    if galleries == 1:
        return list(image_ids)
    return [f"{name}#{number}" for number in range(galleries) for name in image_ids]


def _ranked(distances: Block, labels: Labels, columns: Ints) -> list[tuple[Ints, int]]:
    """Return for each query the ranks of its matches, and of its identity (-1 for none)."""
    ranked = []
    for rows in spans(len(labels.query_pids), _ROWS):
        block = distances(rows, slice(0, len(columns)))
        counts = labels.counts(rows)[:, columns]
        pids = labels.gallery_pids[columns]
        for row, keep, pid in zip(block, counts, labels.query_pids[rows], strict=True):
            ranked.append(_places(row[keep], pids[keep], pid))
    return ranked


def _places(distances: NDArray[np.float32], pids: Ints, pid: int) -> tuple[Ints, int]:
    people = pids[np.argsort(distances, kind="stable")]
    matches = np.flatnonzero(people == pid)
    first = len(np.unique(people[: matches[0]])) if len(matches) else -1
    return matches.astype(np.int64), first


REPEATS = 10


def single_shot_curve(
    distances: Block, labels: Labels, rows: list[slice], *, length: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the match curve, averaged over queries and drawn galleries, and each query's hits.

    For each query with a positive, 10 galleries are drawn with one image of each identity (for the
    query's identity, one of its positives). The draws of a query depend only on the seed and on the
    position of the query.

    Args:
        distances: returns the distances of a block.
        labels: identities and cameras.
        rows: blocks of queries; with their distances to the whole gallery.
        length: number of ranks.
        seed: seed of the draws.

    Returns:
        (length,) the curve, and (Q, 4) the share of a query's galleries with its match among the
        first 1, 5, 10 and 20; NaN for a query without a positive.
    """
    pids, counts = np.unique(labels.gallery_pids, return_counts=True)
    reported = np.array(REPORTED_RANKS)
    total, shares = np.zeros(length), np.full((len(labels.query_pids), len(reported)), np.nan)
    for span in rows:
        block = distances(span, slice(0, len(labels.gallery_pids)))
        matches = labels.matches(span)
        for row in np.unique(matches.rows):
            positives = matches.columns[matches.rows == row]
            query = span.start + int(row)
            identity = int(np.searchsorted(pids, labels.query_pids[query]))
            generator = np.random.default_rng((seed, query))
            shots, drawn_matches = draw_galleries(
                generator, labels.by_pid, counts, identity, positives
            )
            ranks = single_shot_ranks(block[row], shots, drawn_matches)
            total += np.bincount(ranks[ranks < length], minlength=length)
            shares[query] = (ranks[:, None] < reported).mean(0)
    queries = int(np.isfinite(shares[:, 0]).sum())
    return np.cumsum(total) / (REPEATS * queries), shares


def draw_galleries(
    generator: np.random.Generator, by_pid: Ints, counts: Ints, identity: int, positives: Ints
) -> tuple[Ints, Ints]:
    """Draw one image of each identity, REPEATS times.

    Args:
        generator: generator of the draws.
        by_pid: (G,) gallery images sorted by identity.
        counts: (I,) images of each identity.
        identity: position of the query's identity among the I.
        positives: gallery images of that identity that may be drawn.

    Returns:
        (REPEATS, I) drawn images and (REPEATS,) the drawn image of the query's identity.
    """
    limits = counts.copy()
    limits[identity] = len(positives)
    draws = generator.integers(0, limits, size=(REPEATS, len(counts)))
    # the query's identity is drawn from its positives, and inserted below
    shots = by_pid[np.cumsum(counts) - counts + draws]
    drawn_matches = positives[draws[:, identity]]
    shots[:, identity] = drawn_matches
    return shots, drawn_matches


def single_shot_ranks(row: NDArray[Any], shots: Ints, drawn_matches: Ints) -> Ints:
    """Return the 0-based rank (REPEATS,) of the query's match in each drawn gallery.

    Args:
        row: (G,) distances of one query.
        shots: (REPEATS, I) drawn images.
        drawn_matches: (REPEATS,) the drawn image of the query's identity.
    """
    values, reference = row[shots], row[drawn_matches][:, None]
    before = (values < reference) | ((values == reference) & (shots < drawn_matches[:, None]))
    return before.sum(axis=1)
