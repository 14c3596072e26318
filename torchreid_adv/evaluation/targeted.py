"""Targeted attacks: the ranks of images that were pulled to another identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from torchreid_adv.evaluation.galleries import GalleryRules
from torchreid_adv.evaluation.labels import Ints, Labels, Matches
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.evaluation.ranking import feature_blocks, plan, positive_ranks
from torchreid_adv.evaluation.result import REPORTED_RANKS
from torchreid_adv.models.features import Features


class TargetLabels(Labels):
    """Labels that make a pulled image and the images of its target identity positives.

    Args:
        query: features of the queries.
        gallery: features of the gallery.
        targets: image_id -> its target identity, for queries or gallery images.
        rules: the rules of gallery images that do not count.
    """

    def __init__(
        self, query: Features, gallery: Features, targets: Mapping[str, int], rules: GalleryRules
    ) -> None:
        super().__init__(
            query.pids.cpu(),
            gallery.pids.cpu(),
            query.camids.cpu(),
            gallery.camids.cpu(),
            same_camera=rules.same_camera,
            same_place=rules.same_place,
        )
        self._query_targets = _targets(query, targets)
        self._gallery_targets = _targets(gallery, targets)

    def matches(self, queries: slice) -> Matches:
        """Return (query, gallery image) pairs of a pulled image and its target identity."""
        identity_matches = super().matches(queries)
        pids = self.query_pids[queries, None]
        pulled = self._gallery_targets[None] == pids
        pulled |= self._query_targets[queries, None] == self.gallery_pids[None]
        pulled[identity_matches.junk_rows, identity_matches.junk_columns] = False
        rows, columns = (places.astype(np.int64) for places in np.nonzero(pulled))
        return Matches(
            identity_matches.count,
            rows,
            columns,
            identity_matches.junk_rows,
            identity_matches.junk_columns,
        )


def target_ranks(
    query: Features,
    gallery: Features,
    targets: Mapping[str, int],
    protocol: Protocol,
) -> dict[str, int]:
    """Return the best 0-based rank of each pulled image with its target's images.

    For a gallery image: in the lists of the queries of its target identity. For a query: the rank
    of the first gallery image of its target identity. The query's junk is excluded from the lists.

    Args:
        query: features of the queries.
        gallery: features of the gallery.
        targets: image_id -> its target identity.
        protocol: the rules; all images are ranked, also those of drawn galleries.
    """
    ranked_pairs = targeted_ranks(query, gallery, targets, protocol)
    best: dict[str, int] = {}
    for row, column, place in zip(*(part.tolist() for part in ranked_pairs), strict=True):
        for name in (query.image_ids[row], gallery.image_ids[column]):
            if name in targets:
                best[name] = min(place, best.get(name, place))
    return best


def targeted_ranks(
    query: Features,
    gallery: Features,
    targets: Mapping[str, int],
    protocol: Protocol,
) -> tuple[Ints, Ints, Ints]:
    """Return all pairs of a pulled image and its target identity, with their ranks.

    Args:
        query: features of the queries.
        gallery: features of the gallery.
        targets: image_id -> its target identity.
        protocol: the rules; all images are ranked, also those of drawn galleries.

    Returns:
        (P,) query rows, (P,) gallery rows, (P,) 0-based ranks of the images in the queries' lists.
    """
    labels = TargetLabels(query, gallery, targets, protocol.galleries)
    rows, columns = plan(len(query), len(gallery), protocol.block)
    distances = feature_blocks(query, gallery, protocol.distance)
    ranks, _ = positive_ranks(distances, labels, rows, columns)
    pairs = [(queries.start, labels.matches(queries)) for queries in rows]
    return (
        np.concatenate([start + matches.rows for start, matches in pairs]),
        np.concatenate([matches.columns for _, matches in pairs]),
        ranks,
    )


def success(ranks: Mapping[str, int], total: int) -> dict[str, Any]:
    """Return the share of pulled images whose best rank is among the first k, and the median.

    Args:
        ranks: best 0-based ranks, see :func:`target_ranks`.
        total: number of pulled images.
    """
    places = np.array(sorted(ranks.values()), np.int64)
    shares = {str(k): float((places < k).sum()) / total for k in REPORTED_RANKS}
    return {"success": shares, "median_rank": float(np.median(places)) + 1 if len(places) else None}


def _targets(features: Features, targets: Mapping[str, int]) -> Ints:
    nobody = np.iinfo(np.int64).min
    return np.array([targets.get(name, nobody) for name in features.image_ids], np.int64)
