"""Losses of UAP-Retrieval on clusters of the training set: of an image's label, of their ranking.

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
from torchreid_adv.attacks.loop.objectives import Embed, Losses, Objective
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError

LISTED = 64


class ClusterLoss(Objective):
    """Something of an image's feature among cluster centers, compared with the clean image's.

    Args:
        distance: in whose space features are compared.
        centers: (K, E) in that space, see ``cluster_centers``.

    Raises:
        ConfigError: a distance that maps no single features, or less than two centers.
    """

    def __init__(self, distance: Distance, centers: Tensor) -> None:
        single_features(distance)
        if len(centers) < 2:
            raise ConfigError(f"a cluster loss needs two centers or more, got {len(centers)}")
        self.distance, self.centers = distance, centers

    def describe(self) -> dict[str, Any]:
        """Return the metric and how many centers there are."""
        return {
            "metric": self.distance.name,
            "normalized": self.distance.normalize,
            "centroids": len(self.centers),
        }

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> losses (N,)."""
        with torch.no_grad():
            clean = self.distance.map(embed(batch.images))
        of_features = self.among(clean, self.centers.to(clean))
        return lambda images: of_features(self.distance.map(embed(images)))

    @abstractmethod
    def among(self, clean: Tensor, centers: Tensor) -> Losses:
        """Return mapped features (N, E) -> losses, for clean ones (N, E) and centers (K, E)."""


class LabelHinge(ClusterLoss):
    """``-[z_own - max_k z_k]_+``, label-wise: until the clean image's cluster is not the likeliest.

    z are the logits of the linear classifier that the centers are, ``2 f c_k - |c_k|^2``, whose
    likeliest class is the nearest center. (The paper's classifier is trained on cluster labels.)
    """

    def among(self, clean: Tensor, centers: Tensor) -> Losses:
        """Return mapped features -> negated lead of their clean cluster, 0 once it is lost."""

        def logits(features: Tensor) -> Tensor:
            return 2 * features @ centers.t() - centers.pow(2).sum(1)

        own = logits(clean).argmax(1, keepdim=True)

        def losses(features: Tensor) -> Tensor:
            found = logits(features)
            best_other = found.scatter(1, own, -torch.inf).amax(1)
            return -(found.gather(1, own)[:, 0] - best_other).clamp_min(0)

        return losses


class ListReversal(ClusterLoss):
    """Minus LambdaRank's cost of the reversed ranking of clusters, list-wise.

    A cluster is the more relevant the further the clean feature has it: from 0 to 1 by rank. For a
    pair with a more relevant than b the cost is ``|dNDCG_ab| log(1 + exp(d_a - d_b))``, d the
    distances to the centers and dNDCG what exchanging both in the ranking as it is now would
    change, which is held constant: the gradient is LambdaRank's (Burges et al., 2006).

    Args:
        distance: in whose space features are compared.
        centers: (K, E) in that space.
        listed: so many clusters, evenly spread over the clean ranking, make the list.
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
    """Return what a place of a ranking counts, ranks from 0."""
    return 1 / torch.log2(rank + 2)


class Summed(Objective):
    """The sum of several objectives, each with the same weight.

    UAP-Retrieval's pair-wise, label-wise and list-wise losses can be summed in its released code;
    each reads the features by itself, so a step costs as many passes.

    Args:
        objectives: what is summed.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = tuple(objectives)
        together = [one for one in objectives if one.scope == "batch"]
        self.scope = "batch" if together else "image"

    def describe(self) -> dict[str, Any]:
        """Return what is summed."""
        return {"sum": [objective.describe() for objective in self.objectives]}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> the sums (N,) of the losses."""
        bound = [objective.bind(embed, batch, references) for objective in self.objectives]

        def losses(images: Tensor) -> Tensor:
            return torch.stack([one(images) for one in bound]).sum(0)

        return losses
