"""Deep ranking: CA, QA and SP-QA move ranks up or down; all rank attacks by name.

After robrank (Zhou et al., Adversarial Attack and Defense in Deep Ranking). Distances are those of
the evaluation. The images to compare with are chosen once, from clean features, with random numbers
of each image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.mismatch import (
    GreedyTopMisranking,
    GreedyTopTranslocation,
    LearningToMisrank,
    TargetedMismatch,
)
from torchreid_adv.attacks.rank_attack import (
    PERCENTILE,
    Database,
    Figure,
    RankingAttack,
    RankingObjective,
    _mean,
    percentile_rank,
)
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError


class CandidateRank(RankingObjective):
    """CA+ and CA-: the image's rank in the lists of some queries.

    Lowers ``mean over q, x of relu(+-(d(q, c') - d(q, x)))``, where c' is the image, q its queries
    and x the database. Queries are other images of the references, and the database is the
    references. A query is not in its own list.

    Args:
        distance: the metric that ranks.
        up: raise the rank (CA+) in the lists of random queries, or lower it (CA-) in the lists of
            queries from the nearest 1 %.
        width: number of queries.
        seed: seed of the choice.
    """

    figure_name = "percentile rank"
    figure_of = "the image in the lists of some queries"
    figure_unit = PERCENTILE

    def __init__(self, distance: Distance, *, up: bool, width: int = 5, seed: int = 0) -> None:
        super().__init__(distance, seed=seed)
        self.up, self.width = up, width

    def _functions(
        self, database: Database, batch: Batch, references: References
    ) -> tuple[Figure, Figure]:
        queries = database.drawn(
            self.width,
            batch.rng(self.seed, "selection"),
            top=not self.up,
            barred=torch.zeros_like(database.same_image),
        )
        query_features = database.mapped[queries]
        lists = self.distance.between(query_features.flatten(0, 1), database.mapped)
        lists = lists.view(*queries.shape, -1)
        valid = ~database.same_image[:, None] & (
            queries[..., None] != torch.arange(lists.shape[2], device=queries.device)
        )
        sign = 1.0 if self.up else -1.0

        def losses(features: Tensor) -> Tensor:
            gaps = sign * (self._between(features, query_features)[..., None] - lists)
            return -_mean(F.relu(gaps), valid)

        return losses, lambda features: percentile_rank(
            self._between(features, query_features), lists, valid
        )


class QueryRank(RankingObjective):
    """QA+ and QA-: the ranks of candidates in the image's list; SP-QA keeps the other ranks.

    Lowers ``mean over c, x of relu(+-(d(q', c) - d(q', x)))``, where q' is the image, c its
    candidates and x the database; SP-QA adds ``keep`` times the same with + for the nearest
    neighbors of the clean image, which are then not candidates.

    Args:
        distance: the metric that ranks.
        up: raise random candidates (QA+), or lower candidates from the nearest 1 % (QA-).
        width: number of candidates.
        keep: weight of the neighbors to keep; 0 = none.
        neighbors: number of neighbors to keep.
        seed: seed of the choice.
    """

    figure_name = "percentile rank"
    figure_of = "some candidates in the image's list"
    figure_unit = PERCENTILE

    def __init__(
        self,
        distance: Distance,
        *,
        up: bool,
        width: int = 5,
        keep: float = 0.0,
        neighbors: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__(distance, seed=seed)
        self.up, self.width, self.keep, self.neighbors = up, width, keep, neighbors

    def _functions(
        self, database: Database, batch: Batch, references: References
    ) -> tuple[Figure, Figure]:
        barred, near = torch.zeros_like(database.same_image), None
        if self.keep:
            room = database.same_image.shape[1] - 2  # without a candidate and the image itself
            near = database.nearest(max(1, min(self.neighbors, room)))
            barred = barred.scatter(1, near, True)
        candidates = database.drawn(
            self.width, batch.rng(self.seed, "selection"), top=not self.up, barred=barred
        )
        valid, sign = ~database.same_image[:, None], 1.0 if self.up else -1.0

        def hinge(between: Tensor, columns: Tensor, sign: float) -> Tensor:
            gaps = sign * (between.gather(1, columns)[..., None] - between[:, None])
            return _mean(F.relu(gaps), valid.expand_as(gaps))

        def losses(features: Tensor) -> Tensor:
            between = self.distance.between(features, database.mapped)
            loss = -hinge(between, candidates, sign)
            return loss if near is None else loss - self.keep * hinge(between, near, 1.0)

        def figure(features: Tensor) -> Tensor:
            between = self.distance.between(features, database.mapped)
            return percentile_rank(between.gather(1, candidates), between[:, None], valid)

        return losses, figure


RANKING = "Zhou et al., Adversarial Attack and Defense in Deep Ranking, 2021"
MISMATCH = "Tolias et al., Targeted Mismatch Adversarial Attack, 2019"
MISRANK = "Wang et al., Transferable, Controllable, and Inconspicuous Attacks on Re-ID, 2020"
_SPENT: dict[str, Any] = {"step_size": from_levels(3), "steps": 32}


ERS = (
    "ca_plus",
    "ca_minus",
    "qa_plus",
    "qa_minus",
    "tma",
    "es_shift",
    "es_r1",
    "ltm",
    "gtm",
    "gtt",
)


def robustness_score(figures: Mapping[str, float]) -> float:
    """Return the empirical robustness score of deep ranking, 0 = defenseless, 100 = unaffected.

    ``mean of {2 CA+, 100 - CA-, 2 QA+, 100 - QA-, 100 (1 - TMA), 50 (2 - ES_shift), ES_R1, LTM,
    GTM, GTT}`` (Zhou et al.): percentile ranks of CA and QA after the attack in percent, TMA the
    cosine after it, ES_shift the cosine distance that the self attack moves a feature, ES_R1, LTM
    and GTM the rank-1 after the attack in percent, GTT the share of first images that stay among
    the first four, in percent.

    Args:
        figures: a value for each of ``ca_plus``, ``ca_minus``, ``qa_plus``, ``qa_minus``, ``tma``,
            ``es_shift``, ``es_r1``, ``ltm``, ``gtm`` and ``gtt``.

    Raises:
        ConfigError: a value is missing or unknown.
    """
    if set(figures) != set(ERS):
        wrong = sorted(set(ERS) ^ set(figures))
        raise ConfigError(f"the score is of {', '.join(ERS)}; missing or unknown: {wrong}")
    parts = [
        2 * figures["ca_plus"],
        100 - figures["ca_minus"],
        2 * figures["qa_plus"],
        100 - figures["qa_minus"],
        100 * (1 - figures["tma"]),
        50 * (2 - figures["es_shift"]),
        *(figures[name] for name in ("es_r1", "ltm", "gtm", "gtt")),
    ]
    return sum(parts) / len(parts)


@attack("ca_plus", paper=RANKING, title="the image up in the lists of random queries", **_SPENT)
def ca_plus(budget: Budget, distance: Distance, *, width: int = 5) -> RankingAttack:
    """Build CA+.

    Options:
        width: number of queries.
    """
    return RankingAttack(CandidateRank(distance, up=True, width=width, seed=budget.seed), budget)


@attack("ca_minus", paper=RANKING, title="the image down in the lists it is on top of", **_SPENT)
def ca_minus(budget: Budget, distance: Distance, *, width: int = 5) -> RankingAttack:
    """Build CA-.

    Options:
        width: number of queries.
    """
    return RankingAttack(CandidateRank(distance, up=False, width=width, seed=budget.seed), budget)


@attack("qa_plus", paper=RANKING, title="random candidates up in the image's list", **_SPENT)
def qa_plus(budget: Budget, distance: Distance, *, width: int = 5) -> RankingAttack:
    """Build QA+.

    Options:
        width: number of candidates.
    """
    return RankingAttack(QueryRank(distance, up=True, width=width, seed=budget.seed), budget)


@attack("qa_minus", paper=RANKING, title="the first candidates down in the image's list", **_SPENT)
def qa_minus(budget: Budget, distance: Distance, *, width: int = 5) -> RankingAttack:
    """Build QA-.

    Options:
        width: number of candidates.
    """
    return RankingAttack(QueryRank(distance, up=False, width=width, seed=budget.seed), budget)


@attack("tma", paper=MISMATCH, title="toward a random image", **_SPENT)
def tma(budget: Budget, distance: Distance) -> RankingAttack:
    """Build TMA."""
    return RankingAttack(TargetedMismatch(distance, seed=budget.seed), budget)


@attack("ltm", paper=MISRANK, title="the furthest other identity before the nearest own", **_SPENT)
def ltm(budget: Budget, distance: Distance) -> RankingAttack:
    """Build LTM."""
    return RankingAttack(LearningToMisrank(distance, seed=budget.seed), budget)


@attack("gtm", paper=RANKING, title="toward the nearest other identity", **_SPENT)
def gtm(budget: Budget, distance: Distance) -> RankingAttack:
    """Build GTM."""
    return RankingAttack(GreedyTopMisranking(distance, seed=budget.seed), budget)


@attack("gtt", paper=RANKING, title="the first image out of the first four", **_SPENT)
def gtt(budget: Budget, distance: Distance) -> RankingAttack:
    """Build GTT."""
    return RankingAttack(GreedyTopTranslocation(distance, seed=budget.seed), budget)


@attack(
    "sp_qa",
    paper=RANKING,
    title="as qa_plus or qa_minus, the nearest neighbors staying",
    **_SPENT,
)
def sp_qa(
    budget: Budget,
    distance: Distance,
    *,
    up: bool = True,
    width: int = 5,
    keep: float = 10.0,
    neighbors: int = 5,
) -> RankingAttack:
    """Build SP-QA: QA that keeps the nearest neighbors of the clean image in place.

    Options:
        up: raise random candidates, or lower some of the nearest candidates.
        width: number of candidates.
        keep: weight of the neighbors to keep.
        neighbors: number of neighbors to keep.
    """
    seed = budget.seed
    objective = QueryRank(distance, up=up, width=width, keep=keep, neighbors=neighbors, seed=seed)
    return RankingAttack(objective, budget)
