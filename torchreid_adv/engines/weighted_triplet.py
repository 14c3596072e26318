"""``adv.loss.triplet: weighted``: AGW's triplet loss in any of torchreid's triplet engines."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchreid_adv.config import AdvConfig
from torchreid_adv.engines.evaluation import Base
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import ENGINES


class WeightedTripletLoss(nn.Module):
    """Weighted regularized triplet: log(1 + exp(positive - negative)), averaged over the batch.

    Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, 2021, eqs. 5 and 6:
    positive is the mean of an image's distances to the images of its identity, weighted by the
    softmax of these distances; negative is the mean of those to other images, weighted by the
    softmax of the negated distances. Distances are Euclidean; there is no margin. As in the
    published code and in torchreid's triplet loss, an image counts as a positive of itself.
    """

    def forward(self, features: Tensor, pids: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            features: (N, D).
            pids: (N,) identities.

        Raises:
            ConfigError: the batch has only one identity.
        """
        same = pids[:, None] == pids[None, :]
        if bool(same.all()):
            raise ConfigError(
                "a batch holds one identity alone, so that nothing can be pushed away; set "
                "sampler.train_sampler 'RandomIdentitySampler'"
            )
        squares = features.pow(2).sum(1)
        products = features @ features.T
        distances = (squares[:, None] + squares[None, :] - 2 * products).clamp(min=1e-12).sqrt()
        near = distances.masked_fill(~same, -torch.inf).softmax(1)
        far = (-distances).masked_fill(same, -torch.inf).softmax(1)
        return F.softplus((near * distances).sum(1) - (far * distances).sum(1)).mean()


@ENGINES.register("weighted_triplet", internal=True)
class WeightedTripletMixin(Base):
    """A triplet engine with :class:`WeightedTripletLoss` instead of torchreid's loss."""

    criterion_t: Any

    def adapt(self, cfg: AdvConfig) -> None:
        """Replace the engine's triplet loss.

        Raises:
            ConfigError: the engine has no triplet loss.
        """
        if not hasattr(self, "criterion_t"):
            raise ConfigError(
                "adv.loss.triplet is for engines with a triplet loss; set loss.name 'triplet' or "
                "adv.loss.triplet ''"
            )
        self.criterion_t = WeightedTripletLoss()
