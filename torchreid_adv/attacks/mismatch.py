"""TMA, LTM, GTM and GTT: an image moves toward or away from a single other image."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.attacks.rank_attack import Database, Figure, RankingObjective
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.errors import ConfigError

KEPT = 4  # GTT counts the first image as kept within this many places


class TargetedMismatch(RankingObjective):
    """TMA: raises the cosine to the feature of a random database image."""

    figure_name = "cosine"
    figure_of = "the image and a random one"
    figure_unit = "-1 to 1"

    def _functions(
        self, database: Database, batch: Batch, references: References
    ) -> tuple[Figure, Figure]:
        draws = batch.rng(self.seed, "selection")
        barred = torch.zeros_like(database.same_image)
        columns = database.drawn(1, draws, top=False, barred=barred)[:, 0]
        target = database.mapped[columns]

        def cosine(features: Tensor) -> Tensor:
            return F.cosine_similarity(features, target)

        return lambda features: cosine(features) - 1, cosine


class TopMisranking(RankingObjective):
    """The base of LTM and GTM, measured by the images whose nearest image shows their identity.

    An image's own identity is shown by its references, without the image itself.
    """

    figure_name = "rank-1"
    figure_of = "the images' own lists"
    figure_unit = "share of images, 0 to 1"

    def _functions(
        self, database: Database, batch: Batch, references: References
    ) -> tuple[Figure, Figure]:
        positives, others = _labels(references, batch, database)

        def figure(features: Tensor) -> Tensor:
            between = self.distance.between(features, database.mapped)
            return (_nearest(between, positives) < _nearest(between, others)).to(features)

        return self._losses(database, positives, others), figure

    @abstractmethod
    def _losses(self, database: Database, positives: Tensor, others: Tensor) -> Figure:
        """Return features -> losses (N,); the masks (N, R) select images of the database."""


class LearningToMisrank(TopMisranking):
    """LTM: the furthest other identity gets nearer than the nearest image of the same identity.

    Lowers ``relu(max over others d - min over own d)``.
    """

    def _losses(self, database: Database, positives: Tensor, others: Tensor) -> Figure:
        def losses(features: Tensor) -> Tensor:
            between = self.distance.between(features, database.mapped)
            furthest = between.masked_fill(~others, -math.inf).amax(1)
            return -F.relu(furthest - _nearest(between, positives))

        return losses


class GreedyTopMisranking(TopMisranking):
    """GTM: moves toward the nearest image of another identity, fixed at the clean image."""

    def _losses(self, database: Database, positives: Tensor, others: Tensor) -> Figure:
        target = database.mapped[database.nearest(1, others)[:, 0]]

        def losses(features: Tensor) -> Tensor:
            return -self._between(features, target[:, None])[:, 0]

        return losses


class GreedyTopTranslocation(RankingObjective):
    """GTT: moves the first image of the clean list out of the first four places.

    Lowers ``mean over x of relu(d(q', x) - d(q', c))``, where q' is the image, c the image nearest
    to it when it was clean, and x the database: QA- on the first candidate.
    """

    figure_name = "first place kept among the first four"
    figure_of = "the images' own lists"
    figure_unit = "share of images, 0 to 1"

    def _functions(
        self, database: Database, batch: Batch, references: References
    ) -> tuple[Figure, Figure]:
        first, valid = database.nearest(1), ~database.same_image

        def between(features: Tensor) -> tuple[Tensor, Tensor]:
            distances = self.distance.between(features, database.mapped)
            return distances, distances.gather(1, first)

        def losses(features: Tensor) -> Tensor:
            others, first_distance = between(features)
            gaps = F.relu(others - first_distance) * valid
            return -gaps.sum(1) / valid.sum(1)

        def figure(features: Tensor) -> Tensor:
            others, first_distance = between(features)
            return (((others < first_distance) & valid).sum(1) < KEPT).to(features)

        return losses, figure


def _nearest(between: Tensor, mask: Tensor) -> Tensor:
    """Return the least of the distances (N, R) that a mask selects, for each image."""
    return between.masked_fill(~mask, math.inf).amin(1)


def _labels(references: References, batch: Batch, database: Database) -> tuple[Tensor, Tensor]:
    """Return which database images are an image's references, and which show others (N, R).

    Raises:
        ConfigError: an image has no reference of its identity, or no reference of another identity.
    """
    device = database.same_image.device
    positives = references.positives(batch).to(device) & ~database.same_image
    same = replace(references, rule="all").positives(batch).to(device)
    others = ~same & ~database.same_image
    if not (positives.any(1) & others.any(1)).all():
        raise ConfigError(
            "this attack needs, for each image, references of its identity and of another one"
        )
    return positives, others
