"""Losses of UAP-Retrieval on clusters of the training set: label-wise and list-wise.

Li et al., Universal Perturbation Attack Against Image Retrieval, 2019. Its pair-wise loss is
:class:`torchreid_adv.attacks.learned.triplets.CentroidTriplet`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.attacks.learned.triplets import single_features
from torchreid_adv.attacks.loop.objectives import DistanceObjective, Embed, Losses, Objective
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError

LISTED = 64


class ClusterLoss(DistanceObjective):
    """A loss on an image's feature among cluster centers, relative to the clean image's.

    Args:
        distance: its space is used to compare features.
        centers: (K, E) in that space, see ``cluster_centers``.

    Raises:
        ConfigError: the distance does not map single features, or there are fewer than two centers.
    """

    def __init__(self, distance: Distance, centers: Tensor) -> None:
        single_features(distance)
        if len(centers) < 2:
            raise ConfigError(f"a cluster loss needs two centers or more, got {len(centers)}")
        super().__init__(distance)
        self.centers = centers

    def describe(self) -> dict[str, Any]:
        """Return the metric and the number of centers."""
        return {**super().describe(), "centroids": len(self.centers)}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> losses (N,)."""
        with torch.no_grad():
            clean = self.distance.map(embed(batch.images))
        of_features = self.among(clean, self.centers.to(clean))
        return lambda images: of_features(self.distance.map(embed(images)))

    @abstractmethod
    def among(self, clean: Tensor, centers: Tensor) -> Losses:
        """Return mapped features (N, E) -> losses, for clean features (N, E) and centers (K, E)."""


class LabelHinge(ClusterLoss):
    """``-[z_own - max_k z_k]_+``, label-wise: until the clean image's cluster is not the top.

    z are the logits of the linear classifier given by the centers, ``2 f c_k - |c_k|^2``, whose
    likeliest class is the nearest center. (The paper trains a classifier on cluster labels.)
    """

    def among(self, clean: Tensor, centers: Tensor) -> Losses:
        """Return mapped features -> negated lead of the clean cluster, 0 once it has no lead."""

        def logits(features: Tensor) -> Tensor:
            return 2 * features @ centers.t() - centers.pow(2).sum(1)

        clean_cluster = logits(clean).argmax(1, keepdim=True)

        def losses(features: Tensor) -> Tensor:
            scores = logits(features)
            best_other = scores.scatter(1, clean_cluster, -torch.inf).amax(1)
            return -(scores.gather(1, clean_cluster)[:, 0] - best_other).clamp_min(0)

        return losses


class ListReversal(ClusterLoss):
    """Minus LambdaRank's cost of the reversed ranking of clusters, list-wise.

    The further a cluster is from the clean feature, the more relevant it is: from 0 to 1 by rank.
    For a pair with a more relevant than b the cost is ``|dNDCG_ab| log(1 + exp(d_a - d_b))``, with
    d the distances to the centers and dNDCG the change from swapping both in the current ranking,
    held constant: the gradient is LambdaRank's (Burges et al., 2006).

    Args:
        distance: its space is used to compare features.
        centers: (K, E) in that space.
        listed: number of clusters in the list, evenly spread over the clean ranking.
    """

    def __init__(self, distance: Distance, centers: Tensor, *, listed: int = LISTED) -> None:
        super().__init__(distance, centers)
        self.listed = min(listed, len(centers))

    def among(self, clean: Tensor, centers: Tensor) -> Losses:
        """Return mapped features -> negated costs."""
        places = torch.linspace(0, len(centers) - 1, self.listed).round().long()
        rows = torch.cdist(clean, centers).argsort(1)[:, places.to(clean.device)]
        targets = centers[rows]  # (N, L, E), nearest first
        relevance = torch.linspace(0, 1, self.listed).to(clean)
        gains = (relevance[:, None] - relevance).clamp_min(0)
        ideal = (relevance.flip(0) * _discount(torch.arange(self.listed).to(clean))).sum()

        def losses(features: Tensor) -> Tensor:
            apart = (features[:, None] - targets).pow(2).sum(2).clamp_min(1e-12).sqrt()
            discount = _discount(apart.detach().argsort(1).argsort(1).to(clean))
            change = gains * (discount[:, :, None] - discount[:, None]).abs() / ideal
            return -(change * F.softplus(apart[:, :, None] - apart[:, None])).sum((1, 2))

        return losses


def _discount(rank: Tensor) -> Tensor:
    """Return the weight of a rank in DCG, ranks from 0."""
    return 1 / torch.log2(rank + 2)


class Summed(Objective):
    """The sum of several objectives with equal weights.

    UAP-Retrieval's pair-wise, label-wise and list-wise losses can be summed in its released code;
    each extracts the features separately, so a step costs as many passes as there are losses.

    Args:
        objectives: the objectives to sum.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = tuple(objectives)
        together = [objective for objective in objectives if objective.scope == "batch"]
        self.scope = "batch" if together else "image"

    def describe(self) -> dict[str, Any]:
        """Return the descriptions of the objectives."""
        return {"sum": [objective.describe() for objective in self.objectives]}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> the sums (N,) of the losses."""
        bound = [objective.bind(embed, batch, references) for objective in self.objectives]

        def losses(images: Tensor) -> Tensor:
            return torch.stack([losses_of(images) for losses_of in bound]).sum(0)

        return losses
