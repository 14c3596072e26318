"""Guides from the batch itself: the objective of guided adversarial training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torchreid_adv.attacks.objectives import Embed, Losses, Objective
from torchreid_adv.attacks.references import References
from torchreid_adv.data.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError


class GuidedDistance(Objective):
    """Away from the identity's other images, towards the furthest other identity (GOAT).

    ``sum_i |f - p_i|^2 - |f - n|^2`` (Bouniot et al., Vulnerability of Person Re-Identification
    Models to Metric Adversarial Attacks, guide-sampling adversarial training), with features of the
    model as it is now. The paper draws the guides p_i from the whole training set; here they are
    the identity's other images in the batch, which cost nothing more: 4 of them, as in the paper,
    with 5 images per identity. n is the clean image of another identity that is furthest.

    Args:
        distance: the metric that is attacked.
    """

    scope = "batch"

    def __init__(self, distance: Distance) -> None:
        self.distance = distance

    def describe(self) -> dict[str, Any]:
        """Return the name of the metric, and what the references are."""
        return {
            "metric": self.distance.name,
            "normalized": self.distance.normalize,
            "reference": "guides of the batch",
        }

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> distances to their own guides minus that to the furthest other image.

        An image that is alone with its identity is pulled only, a batch of one identity is pushed
        only.

        Raises:
            ConfigError: no pids, or one identity with one image only.
        """
        if batch.pids is None:
            raise ConfigError("this attack needs Batch(images, pids=...) to find guides")
        with torch.no_grad():
            clean = self.distance.map(embed(batch.images))
        pids = batch.pids.to(clean.device)
        same = pids[:, None] == pids
        other = ~same
        pushes = same.to(clean).fill_diagonal_(0)
        if not (pushes.any() or other.any()):
            raise ConfigError("guided training needs batches of several images")
        furthest = torch.cdist(clean, clean).masked_fill(same, -1).argmax(1)
        pulls = other.any(1).to(clean)

        def losses(images: Tensor) -> Tensor:
            mapped = self.distance.map(embed(images))
            # written out: a distance between equal features has no gradient in cdist
            squares = mapped.pow(2).sum(1, keepdim=True) + clean.pow(2).sum(1)
            push = ((squares - 2 * mapped @ clean.t()) * pushes).sum(1)
            pull = (mapped - clean[furthest]).pow(2).sum(1) * pulls
            return (push - pull) * self.distance.scale

        return losses
