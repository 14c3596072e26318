"""Protocol: every rule that decides a score, and the only way from features to scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.distances import Distance, build_distance, distance_of
from torchreid_adv.errors import ConfigError, DataError, suggest
from torchreid_adv.evaluation.galleries import (
    Blocks,
    GalleryRules,
    drawn_gallery,
    evaluate_drawn,
    single_shot_curve,
)
from torchreid_adv.evaluation.labels import Clothes, Ints, Labels
from torchreid_adv.evaluation.metrics import chances, check_ap_rule, match_curve, scores
from torchreid_adv.evaluation.ranking import (
    GALLERY_BLOCK,
    Block,
    feature_blocks,
    matrix_blocks,
    plan,
    positive_ranks,
)
from torchreid_adv.evaluation.rerank import Reranking
from torchreid_adv.evaluation.result import REPORTED_RANKS, RetrievalResult, Scores
from torchreid_adv.models.features import Features
from torchreid_adv.registry import PROTOCOLS

MARKET, CUHK = "market1501", "cuhk03"

Sides = dict[str, Features]  # "query" and "gallery"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Every rule that decides a score: equal protocols and features give equal scores.

    With "market1501", gallery images of the query's identity and camera do not count, and ties rank
    in the order of the gallery. Queries without a positive are skipped: means are over the other
    queries.

    Ranks are exact for the computed distances, in blocks of some hundred queries by ``block``
    gallery images. A BLAS may round the last bit of a product differently for blocks of another
    shape, so another ``block`` can swap two images whose distances differ by such a bit; with exact
    products, and in :func:`evaluate_matrix`, the block size changes nothing.

    Args:
        distance: the distance between two features.
        name: "market1501"; "cuhk03" for a match curve over galleries of one drawn image per
            identity (average precision still uses the full gallery); or an entry of PROTOCOLS,
            which a data set requires.
        ap_rule: "standard" (torchreid) or "trapezoid" (the metric attack paper).
        max_rank: length of the match curve; at least 20 ranks are computed.
        seed: seed of the draws of "cuhk03".
        rerank: rank by the re-ranked distance, for example ``Reranking()``. Each drawn gallery is
            re-ranked separately.
        block: gallery images whose distances are computed at a time. Up to 800 MB of the blocks of
            some hundred queries stay in memory until they are counted; further blocks are computed
            twice. Drawn galleries are small and are processed as a whole.

    Raises:
        ConfigError: the name or ap_rule is unknown, block or max_rank is below 1, or re-ranking
            cannot use the distance.

    Example:
        >>> protocol = Protocol(distance=build_distance("cosine"), name="sysu_mm01")
        >>> protocol.evaluate(query, gallery).mAP
    """

    distance: Distance
    name: str = MARKET
    ap_rule: str = "standard"
    max_rank: int = 50
    seed: int = 0
    rerank: Reranking | None = None
    block: int = GALLERY_BLOCK

    def __post_init__(self) -> None:
        check_ap_rule(self.ap_rule)
        known = (MARKET, CUHK, *PROTOCOLS)
        if self.name not in known:
            raise ConfigError(f"unknown protocol '{self.name}'{suggest(self.name, known)}")
        if self.max_rank < 1:
            raise ConfigError(f"max_rank is a number of ranks, 1 or more; got {self.max_rank}")
        if self.block < 1:
            raise ConfigError(f"block is a number of gallery images, 1 or more; got {self.block}")
        if self.rerank is not None and not self.distance.squared_euclidean:
            raise ConfigError(
                "re-ranking finds neighbors by squared Euclidean distances, which "
                f"'{self.distance.name}' is not; set test.rerank and adv.evaluation.rerank False, "
                "or choose a registered distance"
            )

    @classmethod
    def configured(cls, cfg: AdvConfig, data: Any = None, **keywords: Any) -> Protocol:
        """Return the rules of a config for a data set. Only this method reads their keys.

        Args:
            cfg: ``test.*``, ``cuhk03.use_metric_cuhk03`` and ``adv.evaluation.*`` are read.
            data: the data set, of torchreid or :class:`ReIDData`, see :meth:`of`; None = not known.
            keywords: keywords of torchreid's ``Engine.run`` (``dist_metric``,
                ``normalize_feature``, ``rerank``, ``ranks``, ``use_metric_cuhk03``); they override
                the config.

        Raises:
            ConfigError: a rule is invalid, or rules exclude each other.
        """
        asked = {key: keywords.get(key, lookup(cfg, *place)) for key, place in _KEYWORDS.items()}
        rules = cfg.adv.evaluation
        rerank = bool(asked["rerank"] or rules.rerank)
        return cls(
            distance=distance_of(cfg, asked["dist_metric"], normalize=asked["normalize_feature"]),
            name=CUHK if asked["use_metric_cuhk03"] else MARKET,
            ap_rule=rules.ap_rule,
            max_rank=max([50, *asked["ranks"]]),
            rerank=Reranking(backend=rules.neighbors) if rerank else None,
            block=rules.block,
        ).of(data)

    def of(self, data: Any) -> Protocol:
        """Return the rules for a data set, with its own protocol if it has one.

        Args:
            data: its attribute ``protocol`` names an entry of PROTOCOLS; "" or missing = none.

        Raises:
            ConfigError: the data set has its own protocol, and another one is set.
        """
        return self.named(getattr(data, "protocol", ""))

    def named(self, name: str) -> Protocol:
        """Return the rules with the name of a data set's protocol; "" changes nothing.

        Raises:
            ConfigError: "cuhk03" is set, which excludes other protocols.
        """
        if not name or name == self.name:
            return self
        if self.name != MARKET:
            raise ConfigError(
                f"the data set is scored by its own protocol '{name}', and '{self.name}' is asked "
                "for; set cuhk03.use_metric_cuhk03 False, or score that data set by itself"
            )
        return dataclasses.replace(self, name=name)

    @property
    def galleries(self) -> GalleryRules:
        """The rules for which gallery images count and how galleries are drawn."""
        if self.name in (MARKET, CUHK):
            return GalleryRules()
        rules: GalleryRules = PROTOCOLS.build(self.name)
        return rules

    @staticmethod
    def drawn_galleries(name: str) -> int:
        """Return the number of galleries that a protocol draws; 1 if none, or if unknown."""
        return int(PROTOCOLS.build(name).galleries) if name in PROTOCOLS else 1

    @property
    def plain(self) -> Protocol:
        """The same rules without re-ranking."""
        return dataclasses.replace(self, rerank=None)

    def facts(self) -> dict[str, Any]:
        """Return what decides a score as plain values, for results and cache keys."""
        rerank = self.rerank and {
            name: getattr(self.rerank, name) for name in ("k1", "k2", "weight")
        }
        return {
            "name": self.name,
            "distance": self.distance.facts(),
            "ap_rule": self.ap_rule,
            "max_rank": self.max_rank,
            "seed": self.seed,
            "rerank": rerank,
            "block": self.block,
            "galleries": self.galleries.facts(),
        }

    def labels(self, query: Features, gallery: Features) -> Labels:
        """Return identities and cameras of both sides, and which gallery images do not count."""
        sides = (query.pids, gallery.pids, query.camids, gallery.camids)
        clothes = query.clothes, gallery.clothes
        return self.galleries.labels(*(side.cpu().numpy() for side in sides), clothes=clothes)

    def evaluate(
        self, query: Features, gallery: Features, *, team: Team = ALONE
    ) -> RetrievalResult:
        """Rank the gallery for each query and score the ranking, re-ranked if so configured.

        Args:
            query: features of Q queries.
            gallery: features of G images.
            team: connected processes that share the blocks of gallery images; all get the same
                result.

        Raises:
            DataError: no query has a positive, or the features of the two sides do not match.
        """

        def blocks(columns: Ints | None) -> Block:
            images = gallery if columns is None else gallery.taken(columns.tolist())
            if self.rerank is not None:
                return self.rerank.blocks(query, images, self.distance)
            return feature_blocks(query, images, self.distance)

        return self.score_blocks(blocks, self.labels(query, gallery), query.image_ids, team)

    def score(self, sides: Sides, *, team: Team = ALONE) -> Scores:
        """Score the ranking and, if configured, also the re-ranked one.

        Args:
            sides: features of ``query`` and ``gallery``.
            team: as in :meth:`evaluate`.
        """
        query, gallery = sides["query"], sides["gallery"]
        plain = self.plain.evaluate(query, gallery, team=team)
        return Scores(plain, self.evaluate(query, gallery, team=team) if self.rerank else None)

    def score_blocks(
        self, blocks: Blocks, labels: Labels, image_ids: Sequence[str], team: Team = ALONE
    ) -> RetrievalResult:
        """Score a ranking by any distances; :meth:`evaluate` does so for distances of features.

        Args:
            blocks: returns distances to the images of a gallery: columns, None for all.
            labels: labels of all queries and gallery images.
            image_ids: names of the queries.
            team: as in :meth:`evaluate`.
        """
        labels.require_a_positive()  # before the work, not after it
        length, rules = max(self.max_rank, *REPORTED_RANKS), self.galleries
        if rules.drawn:
            return evaluate_drawn(
                blocks, labels, image_ids, rules, ap_rule=self.ap_rule, length=length
            )
        rows, columns = plan(len(labels.query_pids), len(labels.gallery_pids), self.block)
        distances = blocks(None)
        ranks, starts = positive_ranks(distances, labels, rows, columns, team)
        precision, first, penalty = scores(ranks, starts, ap_rule=self.ap_rule)
        valid, hits = first >= 0, None
        if self.name == CUHK:
            curve, hits = single_shot_curve(distances, labels, rows, length=length, seed=self.seed)
        else:
            curve = match_curve(first[valid], length)
        names, pids = tuple(image_ids), labels.query_pids
        return RetrievalResult(
            names, pids, precision, first, penalty, valid, curve, self.ap_rule, hits
        )

    def chances(self, query: Features, gallery: Features) -> NDArray[np.float64]:
        """Return the expected average precision (Q,) of a random ranking; NaN without a match."""
        labels, rules = self.labels(query, gallery), self.galleries
        if rules.shots:  # drawn galleries have equal numbers of images
            columns = drawn_gallery(labels.gallery_pids, labels.gallery_camids, rules, seed=0)
            labels = self.labels(query, gallery.taken(columns.tolist()))
        return chances(labels, ap_rule=self.ap_rule)


def configured_metric(cfg: AdvConfig, metric: str = "") -> Distance:
    """Return the distance of a config's evaluation, or another distance of the same features.

    Args:
        cfg: ``test.dist_metric``, ``test.normalize_feature`` and ``adv.distances`` are read.
        metric: name of a distance; "" = the distance of the evaluation.

    Raises:
        ConfigError: the name or an option is unknown.
    """
    normalize = bool(lookup(cfg, *_KEYWORDS["normalize_feature"]))
    return distance_of(cfg, metric or lookup(cfg, *_KEYWORDS["dist_metric"]), normalize=normalize)


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
    protocol: str = MARKET,
    seed: int = 0,
    clothes: Clothes = (None, None),
) -> RetrievalResult:
    """Score a ranking by given distances, for example re-ranked ones, as :class:`Protocol` does.

    Args:
        distances: (Q, G) matrix; it is not changed.
        query_pids: (Q,) identities of the queries.
        gallery_pids: (G,) identities of the gallery.
        query_camids: (Q,) cameras of the queries.
        gallery_camids: (G,) cameras of the gallery.
        image_ids: Q names of the queries; their numbers when None.
        ap_rule: as in :class:`Protocol`.
        max_rank: as in :class:`Protocol`.
        protocol: its name, as in :class:`Protocol`.
        seed: as in :class:`Protocol`.
        clothes: clothes on the Q and the G images, for protocols that need them.

    Raises:
        ConfigError: ap_rule or protocol is unknown, or max_rank is below 1.
        DataError: no query has a positive, or the matrix and the labels do not match.
    """
    sides = (query_pids, gallery_pids, query_camids, gallery_camids)
    numbers = [np.asarray(s.cpu() if isinstance(s, Tensor) else s) for s in sides]
    rules = Protocol(
        distance=build_distance("euclidean"),
        name=protocol,
        ap_rule=ap_rule,
        max_rank=max_rank,
        seed=seed,
        block=max(1, numbers[1].size),
    )
    labels = rules.galleries.labels(*numbers, clothes=clothes)
    shape = (len(labels.query_pids), len(labels.gallery_pids))
    if tuple(distances.shape) != shape:
        raise DataError(
            f"the labels are of {shape[0]} queries and {shape[1]} gallery images, the matrix of "
            f"distances has shape {tuple(distances.shape)}"
        )
    names = tuple(str(row) for row in range(shape[0])) if image_ids is None else tuple(image_ids)
    return rules.score_blocks(
        lambda columns: matrix_blocks(distances if columns is None else distances[:, columns]),
        labels,
        names,
    )


_KEYWORDS: dict[str, tuple[str, Any]] = {  # torchreid's keyword -> key and default
    "dist_metric": ("test.dist_metric", "euclidean"),
    "normalize_feature": ("test.normalize_feature", False),
    "rerank": ("test.rerank", False),
    "ranks": ("test.ranks", ()),
    "use_metric_cuhk03": ("cuhk03.use_metric_cuhk03", False),
}
