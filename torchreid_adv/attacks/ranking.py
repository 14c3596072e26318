"""Objectives on ranks: candidates and queries moved up or down, labels and neighbors swapped.

After robrank (Zhou et al., Adversarial Attack and Defense in Deep Ranking). Distances are those
the evaluation ranks by. What an image is compared with is chosen once, from clean features, with
random numbers of its own.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.attacks.objectives import Embed, Losses, Objective
from torchreid_adv.attacks.references import References
from torchreid_adv.data.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError

PERCENTILE = "percent, 0 = first in the list, 100 = last"
TOP = 0.01  # share of the database from which what is moved away is drawn
Figure = Callable[[Tensor], Tensor]  # mapped features (N, E) -> figures (N,)


def percentile_rank(candidates: Tensor, database: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return how much of a database is nearer than the candidates, percent.

    0 = nothing is nearer, 100 = everything is.

    Args:
        candidates: (N, W) distances between images and W others.
        database: (N, W, R) distances of what the candidates are ranked among, or a shape that
            broadcasts to it.
        valid: bool of such a shape, what of the database counts; None = all.

    Returns:
        (N,) means over the W.
    """
    nearer = (database < candidates[..., None]).to(candidates)
    counts = torch.ones_like(nearer) if valid is None else valid.to(nearer).expand_as(nearer)
    return (100 * (nearer * counts).sum(2) / counts.sum(2).clamp_min(1)).mean(1)


@dataclass(frozen=True)
class Database:
    """The other side's features as an attack on ranks sees them.

    Args:
        mapped: (R, E) features in the space where distances are Euclidean.
        clean: (N, E) the batch's own clean features there.
        distances: (N, R) between the two.
        own: (N, R) bool, where a database image is the batch's image itself.
    """

    mapped: Tensor
    clean: Tensor
    distances: Tensor
    own: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, distance: Distance, embed: Embed, batch: Batch, references: References) -> Database:
        """Return the database of a batch."""
        mapped = distance.map(references.features.values.to(batch.images))
        clean = distance.map(embed(batch.images))
        names = {name: row for row, name in enumerate(references.features.image_ids)}
        own = torch.zeros(len(clean), len(mapped), dtype=torch.bool, device=clean.device)
        for row, name in enumerate(batch.image_ids):
            if name in names:
                own[row, names[name]] = True
        return cls(mapped, clean, distance.between(clean, mapped), own)

    def nearest(self, count: int, allowed: Tensor | None = None) -> Tensor:
        """Return the (N, count) nearest columns, an image itself left out."""
        barred = self.own if allowed is None else self.own | ~allowed
        return self.distances.masked_fill(barred, math.inf).topk(count, largest=False).indices

    def drawn(
        self, count: int, draws: Sequence[torch.Generator], *, top: bool, barred: Tensor
    ) -> Tensor:
        """Return (N, count) columns drawn for each image, from all or from the nearest 1 %.

        Args:
            count: how many, fewer where the database is smaller.
            draws: one generator per image.
            top: draw from the nearest 1 %, and from the nearest ``count`` at least.
            barred: (N, R) bool, what must not be drawn, besides the image itself.
        """
        barred = barred | self.own
        count = min(count, int((~barred).sum(1).min()))
        rows = []
        for distances, closed, generator in zip(self.distances, barred, draws, strict=True):
            order = distances.masked_fill(closed, math.inf).argsort(stable=True)
            length = int((~closed).sum())
            if top:
                length = min(length, max(count, math.ceil(TOP * len(distances))))
            chosen = torch.randperm(length, generator=generator)[:count]
            rows.append(order[chosen.to(order.device)])
        return torch.stack(rows)


class RankingObjective(Objective):
    """What the attacks on ranks have in common.

    Args:
        distance: the metric that ranks.
        seed: of the choice.
    """

    figure_name = ""  # of the attack's own figure
    figure_of = ""  # what it is measured on
    figure_unit = ""

    def __init__(self, distance: Distance, *, seed: int = 0) -> None:
        self.distance, self.seed = distance, seed

    def describe(self) -> dict[str, Any]:
        """Return the metric, and what the attack's own figure is."""
        return {
            "metric": self.distance.name,
            "normalized": self.distance.normalize,
            "figure": self.figure_name,
            "figure_of": self.figure_of,
            "figure_unit": self.figure_unit,
        }

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> what the attack makes grow.

        Raises:
            ConfigError: no references are given.
            DataError: an image lacks what this attack needs.
        """
        losses, _ = self.functions(embed, batch, references)
        return lambda images: losses(self.distance.map(embed(images)))

    def functions(
        self, embed: Embed, batch: Batch, references: References | None
    ) -> tuple[Figure, Figure]:
        """Return the objective and the attack's own figure, both of mapped features."""
        if references is None or len(references.features) < 2:
            raise ConfigError(
                "this attack ranks among reference features: pass References(features) of two "
                "images at least"
            )
        database = Database.of(self.distance, embed, batch, references)
        return self._functions(database, batch, references)

    @abstractmethod
    def _functions(
        self, database: Database, batch: Batch, references: References
    ) -> tuple[Figure, Figure]:
        """Return the objective and the figure."""

    def _between(self, features: Tensor, columns: Tensor) -> Tensor:
        """Return distances (N, W) between features (N, E) and others (N, W, E) of their own."""
        rows = zip(features.split(1), columns, strict=True)
        return torch.cat([self.distance.between(feature, own) for feature, own in rows])


class CandidateRank(RankingObjective):
    """CA+ and CA-: the image's rank in the lists of some queries.

    ``mean over q, x of relu(+-(d(q, c') - d(q, x)))`` falls, where c' is the image, q its queries
    and x the database. Queries are other images of the references, and the database is the
    references. A query is not in its own list.

    Args:
        distance: the metric that ranks.
        up: raise the rank (CA+) in the lists of random queries, or lower it (CA-) in those of
            queries from the nearest 1 %.
        width: number of queries.
        seed: of the choice.
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
            barred=torch.zeros_like(database.own),
        )
        chosen = database.mapped[queries]
        lists = self.distance.between(chosen.flatten(0, 1), database.mapped)
        lists = lists.view(*queries.shape, -1)
        valid = ~database.own[:, None] & (
            queries[..., None] != torch.arange(lists.shape[2], device=queries.device)
        )
        sign = 1.0 if self.up else -1.0

        def losses(features: Tensor) -> Tensor:
            gaps = sign * (self._between(features, chosen)[..., None] - lists)
            return -_mean(F.relu(gaps), valid)

        return losses, lambda features: percentile_rank(
            self._between(features, chosen), lists, valid
        )


class QueryRank(RankingObjective):
    """QA+ and QA-: the ranks of some candidates in the image's list; SP-QA: others kept there.

    ``mean over c, x of relu(+-(d(q', c) - d(q', x)))`` falls, where q' is the image, c its
    candidates and x the database; SP-QA adds ``keep`` times the same with + for the nearest
    neighbors of the clean image, which are no candidates then.

    Args:
        distance: the metric that ranks.
        up: raise random candidates (QA+), or lower some of the nearest 1 % (QA-).
        width: number of candidates.
        keep: weight of the neighbors to keep; 0 = none.
        neighbors: how many of them.
        seed: of the choice.
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
        barred, near = torch.zeros_like(database.own), None
        if self.keep:
            room = database.own.shape[1] - 2  # one to be moved, and the image itself
            near = database.nearest(max(1, min(self.neighbors, room)))
            barred = barred.scatter(1, near, True)
        chosen = database.drawn(
            self.width, batch.rng(self.seed, "selection"), top=not self.up, barred=barred
        )
        valid, sign = ~database.own[:, None], 1.0 if self.up else -1.0

        def hinge(between: Tensor, columns: Tensor, sign: float) -> Tensor:
            gaps = sign * (between.gather(1, columns)[..., None] - between[:, None])
            return _mean(F.relu(gaps), valid.expand_as(gaps))

        def losses(features: Tensor) -> Tensor:
            between = self.distance.between(features, database.mapped)
            found = -hinge(between, chosen, sign)
            return found if near is None else found - self.keep * hinge(between, near, 1.0)

        def figure(features: Tensor) -> Tensor:
            between = self.distance.between(features, database.mapped)
            return percentile_rank(between.gather(1, chosen), between[:, None], valid)

        return losses, figure


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    """Return the mean (N,) of what is valid of (N, W, R)."""
    counts = valid.to(values)
    return (values * counts).sum((1, 2)) / counts.sum((1, 2)).clamp_min(1)
