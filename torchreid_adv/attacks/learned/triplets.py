"""Reversed triplets: away from similar images, toward dissimilar ones."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.attacks.loop.objectives import DistanceObjective, Embed, Losses
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError

_TINY = 1e-12  # lower limit of a square root, whose slope at 0 is infinite


class ReversedTriplet(DistanceObjective):
    """``-[|f(x_n) - f(x~)| - |f(x_p) - f(x~)| + margin]_+`` with unsquared distances.

    Args:
        distance: its space is used to compare features.
        margin: in the unit of that space.

    Raises:
        ConfigError: the distance does not map single features.
    """

    def __init__(self, distance: Distance, *, margin: float = 0.5) -> None:
        single_features(distance)
        super().__init__(distance)
        self.margin = margin

    def describe(self) -> dict[str, Any]:
        """Return the metric and the margin."""
        return {**super().describe(), "margin": self.margin}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> negated triplet losses; x_p and x_n are fixed by the clean images."""
        with torch.no_grad():
            clean = self.distance.map(embed(batch.images))
            positive, negative = self.pick(clean, batch)

        def losses(images: Tensor) -> Tensor:
            moved = self.distance.map(embed(images))
            return -(apart(moved, negative) - apart(moved, positive) + self.margin).clamp_min(0)

        return losses

    @abstractmethod
    def pick(self, clean: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return x_p and x_n (N, E) of mapped clean features (N, E)."""


class BatchTriplet(ReversedTriplet):
    """Within the batch: the furthest image of the same identity, the furthest of another one.

    Yang et al., Towards Robust Person Re-identification by Defending Against Universal Attackers,
    eqs. 5-7. An image that is the only one of its identity is its own x_p.
    """

    scope = "batch"

    def pick(self, clean: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the furthest positive and the furthest negative of each image.

        Raises:
            ConfigError: there are no identities, or only one.
        """
        same = same_identity(batch)
        between = torch.cdist(clean, clean, compute_mode="donot_use_mm_for_euclid_dist")
        positive = between.masked_fill(~same, -1).argmax(1)
        negative = between.masked_fill(same, -1).argmax(1)
        return clean[positive], clean[negative]


class CentroidTriplet(ReversedTriplet):
    """Cluster centers of the training set: the nearest one, and the one at the largest angle.

    The pair-wise loss of Li et al., Universal Perturbation Attack Against Image Retrieval, 2019.

    Args:
        distance: its space is used to compare features.
        centers: (K, E) in that space, see :func:`cluster_centers`.
        margin: in the unit of that space.
    """

    def __init__(self, distance: Distance, centers: Tensor, *, margin: float = 0.5) -> None:
        super().__init__(distance, margin=margin)
        self.centers = centers

    def describe(self) -> dict[str, Any]:
        """Return the metric, the margin and the number of centers."""
        return {**super().describe(), "centroids": len(self.centers)}

    def pick(self, clean: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the nearest center and the one at the largest angle."""
        centers = self.centers.to(clean)
        nearest = torch.cdist(clean, centers).argmin(1)
        angles = torch.nn.functional.normalize(centers, dim=1)
        furthest = (torch.nn.functional.normalize(clean, dim=1) @ angles.T).argmin(1)
        return centers[nearest], centers[furthest]


def cluster_centers(features: Tensor, count: int, *, seed: int = 0) -> Tensor:
    """Return k-means centers (K, E) of features (N, E); K <= N.

    Raises:
        ConfigError: there are fewer than two centers.
    """
    from scipy.cluster.vq import kmeans2  # slow to import, and rarely needed

    count = min(count, len(features))
    if count < 2:
        raise ConfigError(f"a triplet needs two cluster centers or more, got {count}")
    centers, labels = kmeans2(features.double().numpy(), count, minit="++", seed=seed, iter=20)
    held = torch.from_numpy(labels).unique()  # without empty clusters
    return torch.from_numpy(centers)[held].to(features.dtype)


def single_features(distance: Distance) -> None:
    """Refuse a distance that does not map single features.

    Raises:
        ConfigError: the distance does not map them.
    """
    if not distance.squared_euclidean:
        raise ConfigError(
            f"a triplet compares single features, which the distance '{distance.name}' does "
            "not map; set adv.attack.metric euclidean or cosine"
        )


def same_identity(batch: Batch) -> Tensor:
    """Return which pairs of images of a batch have the same identity (N, N).

    Raises:
        ConfigError: there are no identities, or only one.
    """
    if batch.pids is None:
        raise ConfigError("a triplet needs Batch(images, pids=...)")
    pids = batch.pids.to(batch.images.device)
    same = pids[:, None] == pids
    if bool(same.all()):
        raise ConfigError(
            "a batch of one identity has no negatives; choose sampler.train_sampler "
            "RandomIdentitySampler and a train.batch_size above sampler.num_instances"
        )
    return same


def apart(a: Tensor, b: Tensor) -> Tensor:
    """Return the distances (N,) between rows, unsquared."""
    return (a - b).pow(2).sum(1).clamp_min(_TINY).sqrt()
