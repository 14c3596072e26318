"""EST: embedding-shifted training."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from torchreid_adv.attacks.loop.objectives import Embed, Losses, Objective
from torchreid_adv.attacks.references import References
from torchreid_adv.attacks.sma import SelfDistance
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.batch import Batch
from torchreid_adv.engines.inner_attack import InnerAttack
from torchreid_adv.engines.methods.base import Method
from torchreid_adv.models import PixelModel
from torchreid_adv.registry import TRAININGS


class EmbeddingShift(SelfDistance):
    """``|f(x + d) - f(x)|`` from the clean image, where a random direction stands for the gradient.

    In the published code the first step compares with a feature that noise of 1e-7 has moved. In
    the limit of small noise the sign of that gradient is the sign of the gradient of ``<f, z>``
    along a random direction z, which is taken here: rounding does not lose it.
    """

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> squared distance to the clean feature; first, the random direction."""
        away, steps = super().bind(embed, batch, references), itertools.count()
        generators = batch.rng(0, "shift")

        def losses(images: Tensor) -> Tensor:
            if next(steps):
                return away(images)
            features = self.distance.map(embed(images))
            draws = [torch.randn(features.shape[1], generator=draw) for draw in generators]
            return (features * torch.stack(draws).to(features)).sum(1)

        return losses


@dataclass(frozen=True)
class ShiftAttack(InnerAttack):
    """PGD on :class:`EmbeddingShift`."""

    def _objective(self, model: PixelModel) -> Objective:
        return EmbeddingShift(self.distance)


@TRAININGS.register(
    "est",
    title="PGD away from the clean feature, from the clean image",
    paper="Zhou et al., Adversarial Ranking Attack and Defense, 2020",
)
class EST(Method):
    """``max_d |f(x + d) - f(x)|`` for all images, then the engine's loss; k + 2 plain steps.

    The paper trains on the adversarial images alone: ``adv.training.mix: adversarial``.
    """

    unread = ("objective", "start", "universal")

    def attack(self, cfg: AdvConfig) -> InnerAttack:
        """Build PGD from the clean image."""
        return ShiftAttack.configured(cfg, self.seed, start="zero")
