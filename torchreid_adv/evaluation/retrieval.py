"""Retrieval evaluation: features or a matrix of distances in, a checked result out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.errors import ConfigError, DataError, suggest
from torchreid_adv.evaluation.blocks import (
    GALLERY_BLOCK,
    Block,
    feature_blocks,
    matrix_blocks,
    plan,
)
from torchreid_adv.evaluation.matches import Labels
from torchreid_adv.evaluation.precision import check_ap_rule, match_curve, scores
from torchreid_adv.evaluation.ranking import positive_ranks
from torchreid_adv.evaluation.rerank import Reranking
from torchreid_adv.evaluation.results import REPORTED_RANKS, RetrievalResult
from torchreid_adv.evaluation.single_shot import single_shot_curve
from torchreid_adv.jobs.team import ALONE, Team
from torchreid_adv.models.features import Features

PROTOCOLS = ("market1501", "cuhk03")


def evaluate(
    query: Features,
    gallery: Features,
    *,
    distance: Distance | None = None,
    rerank: Reranking | None = None,
    ap_rule: str = "standard",
    max_rank: int = 50,
    block: int = GALLERY_BLOCK,
    protocol: str = "market1501",
    seed: int = 0,
    team: Team = ALONE,
) -> RetrievalResult:
    """Rank the gallery for each query and score the ranking.

    Gallery images of the query's own identity and camera do not count. Equally near images rank in
    the order of the gallery. Queries without a positive are skipped: means are over the others.

    Ranks are exact for the distances as they are computed, in blocks of some hundred queries by
    ``block`` gallery images. A BLAS may round the last bit of a product differently for blocks of
    another shape, so another ``block`` can swap two images whose distances differ by such a bit;
    where products are exact, and in :func:`evaluate_matrix`, no block size changes anything.

    Args:
        query: features of Q queries.
        gallery: features of G images.
        distance: how far two features are apart; Euclidean when None.
        rerank: rank by the re-ranked distance instead, ``Reranking()`` for example.
        ap_rule: "standard" (torchreid) or "trapezoid" (the metric attack paper).
        max_rank: length of the match curve; at least 20 ranks are computed.
        block: gallery images whose distances are held at a time. A gallery of more images is gone
            through twice.
        protocol: "market1501", or "cuhk03" for a match curve over galleries of one drawn image per
            identity (average precision stays on the full gallery).
        seed: of the draws of "cuhk03".
        team: connected processes share the blocks of gallery images; all get the same result.

    Raises:
        ConfigError: unknown ap_rule or protocol, block or max_rank below 1.
        DataError: no query has a positive, or the features do not fit together.
    """
    rules = _Rules(ap_rule, protocol, max_rank, seed)
    labels = Labels(query.pids.cpu(), gallery.pids.cpu(), query.camids.cpu(), gallery.camids.cpu())
    distance = distance or build_distance("euclidean")
    if rerank:
        labels.require_a_positive()  # before the work, not after it
        distances = rerank.blocks(query, gallery, distance)
    else:
        distances = feature_blocks(query, gallery, distance)
    return _score(distances, labels, query.image_ids, block, rules, team)


def evaluate_matrix(
    distances: Tensor | NDArray[Any],
    query_pids: ArrayLike | Tensor,
    gallery_pids: ArrayLike | Tensor,
    query_camids: ArrayLike | Tensor,
    gallery_camids: ArrayLike | Tensor,
    *,
    image_ids: Sequence[str] | None = None,
    ap_rule: str = "standard",
    max_rank: int = 50,
    protocol: str = "market1501",
    seed: int = 0,
) -> RetrievalResult:
    """Score a ranking by ready distances, re-ranked ones for example, as :func:`evaluate` does.

    Args:
        distances: (Q, G) matrix; it is not changed.
        query_pids: (Q,) identities of the queries.
        gallery_pids: (G,) identities of the gallery.
        query_camids: (Q,) cameras of the queries.
        gallery_camids: (G,) cameras of the gallery.
        image_ids: Q names of the queries; their numbers when None.
        ap_rule: as :func:`evaluate`.
        max_rank: as :func:`evaluate`.
        protocol: as :func:`evaluate`.
        seed: as :func:`evaluate`.

    Raises:
        ConfigError: unknown ap_rule or protocol, max_rank below 1.
        DataError: no query has a positive, or the matrix and the labels do not fit together.
    """
    rules = _Rules(ap_rule, protocol, max_rank, seed)
    sides = (query_pids, gallery_pids, query_camids, gallery_camids)
    labels = Labels(*(side.cpu() if isinstance(side, Tensor) else side for side in sides))
    shape = (len(labels.query_pids), len(labels.gallery_pids))
    if tuple(distances.shape) != shape:
        raise DataError(
            f"the labels are of {shape[0]} queries and {shape[1]} gallery images, the matrix of "
            f"distances has shape {tuple(distances.shape)}"
        )
    names = tuple(str(row) for row in range(shape[0])) if image_ids is None else tuple(image_ids)
    return _score(matrix_blocks(distances), labels, names, shape[1], rules)


@dataclass(frozen=True)
class _Rules:
    ap_rule: str
    protocol: str
    max_rank: int
    seed: int

    def __post_init__(self) -> None:
        check_ap_rule(self.ap_rule)
        if self.protocol not in PROTOCOLS:
            raise ConfigError(
                f"unknown protocol '{self.protocol}'{suggest(self.protocol, PROTOCOLS)}"
            )
        if self.max_rank < 1:
            raise ConfigError(f"max_rank is a number of ranks, 1 or more; got {self.max_rank}")


def _score(
    distances: Block,
    labels: Labels,
    image_ids: tuple[str, ...],
    block: int,
    rules: _Rules,
    team: Team = ALONE,
) -> RetrievalResult:
    rows, columns = plan(len(labels.query_pids), len(labels.gallery_pids), block)
    labels.require_a_positive()
    ranks, starts = positive_ranks(distances, labels, rows, columns, team)
    precision, first, penalty = scores(ranks, starts, ap_rule=rules.ap_rule)
    valid, length = first >= 0, max(rules.max_rank, *REPORTED_RANKS)
    if rules.protocol == "cuhk03":
        curve = single_shot_curve(distances, labels, rows, length=length, seed=rules.seed)
    else:
        curve = match_curve(first[valid], length)
    pids = labels.query_pids
    return RetrievalResult(image_ids, pids, precision, first, penalty, valid, curve, rules.ap_rule)
