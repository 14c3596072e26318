"""Shared parts of rank attacks: the database, the base of their objectives, and their loop.

After robrank (Zhou et al., Adversarial Attack and Defense in Deep Ranking). Distances are those of
the evaluation. The images to compare with are chosen once, from clean features, with random numbers
of each image.
"""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.budget import Budget
from torchreid_adv.attacks.loop.gradient_attack import Adversarial, GradientAttack, takes_tensors
from torchreid_adv.attacks.loop.objectives import DistanceObjective, Embed, Losses
from torchreid_adv.attacks.loop.perturbations import LinfDelta
from torchreid_adv.attacks.loop.randomness import seeded
from torchreid_adv.attacks.loop.steps import SignStep
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.prepare import prepared

PERCENTILE = "percent, 0 = first in the list, 100 = last"
TOP = 0.01  # nearest share of the database to draw from
Figure = Callable[[Tensor], Tensor]  # mapped features (N, E) -> figures (N,)


def percentile_rank(candidates: Tensor, database: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return the share of a database that is nearer than the candidates, in percent.

    0 = nothing is nearer, 100 = everything is nearer.

    Args:
        candidates: (N, W) distances between images and W others.
        database: (N, W, R) distances to the images that the candidates are ranked among, or a shape
            that broadcasts to it.
        valid: bool of such a shape, the distances that count; None = all.

    Returns:
        (N,) means over the W.
    """
    nearer = (database < candidates[..., None]).to(candidates)
    counts = torch.ones_like(nearer) if valid is None else valid.to(nearer).expand_as(nearer)
    return (100 * (nearer * counts).sum(2) / counts.sum(2).clamp_min(1)).mean(1)


@dataclass(frozen=True)
class Database:
    """The other side's features, prepared for an attack on ranks.

    Args:
        mapped: (R, E) features in the space where distances are Euclidean.
        clean: (N, E) the batch's clean features in that space.
        distances: (N, R) between the two.
        same_image: (N, R) bool, True where a database image is the batch's image itself.
    """

    mapped: Tensor
    clean: Tensor
    distances: Tensor
    same_image: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, distance: Distance, embed: Embed, batch: Batch, references: References) -> Database:
        """Build the database of a batch."""
        mapped = distance.map(references.features.values.to(batch.images))
        clean = distance.map(embed(batch.images))
        names = {name: row for row, name in enumerate(references.features.image_ids)}
        same_image = torch.zeros(len(clean), len(mapped), dtype=torch.bool, device=clean.device)
        for row, name in enumerate(batch.image_ids):
            if name in names:
                same_image[row, names[name]] = True
        return cls(mapped, clean, distance.between(clean, mapped), same_image)

    def nearest(self, count: int, allowed: Tensor | None = None) -> Tensor:
        """Return the (N, count) nearest columns, without the image itself."""
        barred = self.same_image if allowed is None else self.same_image | ~allowed
        return self.distances.masked_fill(barred, math.inf).topk(count, largest=False).indices

    def drawn(
        self, count: int, draws: Sequence[torch.Generator], *, top: bool, barred: Tensor
    ) -> Tensor:
        """Return (N, count) columns drawn for each image, from all or from the nearest 1 %.

        Args:
            count: number of columns, fewer if the database is smaller.
            draws: one generator per image.
            top: draw from the nearest 1 %, but at least from the nearest ``count``.
            barred: (N, R) bool, columns not to draw, besides the image itself.
        """
        barred = barred | self.same_image
        count = min(count, int((~barred).sum(1).min()))
        rows = []
        for distances, closed, generator in zip(self.distances, barred, draws, strict=True):
            order = distances.masked_fill(closed, math.inf).argsort(stable=True)
            length = int((~closed).sum())
            if top:
                length = min(length, max(count, math.ceil(TOP * len(distances))))
            places = torch.randperm(length, generator=generator)[:count]
            rows.append(order[places.to(order.device)])
        return torch.stack(rows)


class RankingObjective(DistanceObjective):
    """The base of the objectives on ranks.

    Args:
        distance: the metric that ranks.
        seed: seed of the choice.
    """

    figure_name = ""  # of the attack's measure
    figure_of = ""  # what it measures
    figure_unit = ""

    def __init__(self, distance: Distance, *, seed: int = 0) -> None:
        super().__init__(distance)
        self.seed = seed

    def describe(self) -> dict[str, Any]:
        """Return the metric, and the attack's measure."""
        return {
            **super().describe(),
            "figure": self.figure_name,
            "figure_of": self.figure_of,
            "figure_unit": self.figure_unit,
        }

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> what the attack raises.

        Raises:
            ConfigError: references are missing.
            DataError: an image lacks what this attack needs.
        """
        losses, _ = self.functions(embed, batch, references)
        return lambda images: losses(self.distance.map(embed(images)))

    def functions(
        self, embed: Embed, batch: Batch, references: References | None
    ) -> tuple[Figure, Figure]:
        """Return the objective and the attack's measure, both of mapped features."""
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
        """Return the objective and the measure."""

    def _between(self, features: Tensor, columns: Tensor) -> Tensor:
        """Return the distances (N, W) between features (N, E) and the others (N, W, E) of each."""
        rows = zip(features.split(1), columns, strict=True)
        return torch.cat(
            [self.distance.between(feature, feature_columns) for feature, feature_columns in rows]
        )


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    """Return the mean (N,) over the valid entries of (N, W, R)."""
    counts = valid.to(values)
    return (values * counts).sum((1, 2)) / counts.sum((1, 2)).clamp_min(1)


@dataclass(frozen=True)
class Ranked(Adversarial):
    """The result of an attack on ranks.

    Args:
        figure: name of the attack's measure: ``percentile rank`` (0 = first, 100 = last, mean over
            the chosen images), ``cosine`` (to the target), ``rank-1`` (1 = the nearest image that
            counts has the same identity) or ``first place kept among the first four``.
        figure_before: (N,) of the clean images.
        figure_after: (N,) of the adversarial images.
    """

    figure: str
    figure_before: Tensor
    figure_after: Tensor

    def facts(self) -> dict[str, Tensor]:
        """Return the measure before and after."""
        return {"figure_before": self.figure_before, "figure_after": self.figure_after}


class RankingAttack(GradientAttack):
    """Sign steps on an objective of ranks.

    Args:
        objective: the objective to raise.
        budget: with step_size and steps.
    """

    objective: RankingObjective

    def __init__(self, objective: RankingObjective, budget: Budget) -> None:
        super().__init__(
            objective,
            LinfDelta(budget.eps),
            functools.partial(SignStep, lr=budget.required("step_size")),
            budget.required("steps"),
            seed=budget.seed,
            precision=budget.precision,
        )

    @takes_tensors
    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Ranked:
        """Attack a batch; the model, the batch and the random state are left unchanged."""
        with prepared(model, batch.images, precision=self.precision) as ready:
            adversarial = super().__call__(ready, batch, references)
            embed = batch.embed(ready)
            mapped = self.objective.distance.map
            with torch.no_grad(), seeded(self.seed, batch, self.steps):
                _, figure = self.objective.functions(embed, batch, references)
                clean, moved = (
                    figure(mapped(embed(x))) for x in (batch.images, adversarial.images)
                )
        return Ranked(
            adversarial.images,
            adversarial.before,
            adversarial.after,
            adversarial.zero_gradient,
            adversarial.trace,
            self.objective.figure_name,
            clean,
            moved,
        )
