"""Attacks composed of attacks: the best of several per image, and transfer from a surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.average_precision import RankLoss
from torchreid_adv.attacks.loop.gradient_attack import Adversarial, Attack, takes_tensors
from torchreid_adv.attacks.loop.objectives import Losses
from torchreid_adv.attacks.loop.randomness import seeded
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.described import Described
from torchreid_adv.core.pixels import quantize
from torchreid_adv.defenses.base import other_draws
from torchreid_adv.defenses.defended import eot_samples
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.prepare import prepared


class BestOf(Described):
    """Runs several attacks and keeps the worst ranking form of each image, maybe the clean one.

    Images are judged as they will be stored, rounded to whole levels. Behind a random defense the
    judge uses as many draws as the attacks do, none of them a deployed one.

    Args:
        attacks: one or more attacks with the same bound.
        distance: the metric that ranks.
        seed: seed of the judge's draws.

    Raises:
        ConfigError: there is no attack, or the bounds differ.
    """

    precision = "fp32"

    def __init__(self, attacks: Sequence[Attack], distance: Distance, *, seed: int = 0) -> None:
        if len({attack.linf for attack in attacks}) != 1:
            raise ConfigError("the best of several attacks needs one or more, all of one bound")
        self.attacks, self.judge, self.seed = list(attacks), RankLoss(distance), seed
        self.linf, self.distance = attacks[0].linf, distance
        self.name = "+".join(dict.fromkeys(attack.name for attack in attacks))

    def describe(self) -> dict[str, Any]:
        """Describe the attacks for a report."""
        return {
            "metric": self.distance.name,
            "judged_by": "average precision of the rounded images",
            "attacks": [{"name": attack.name, **attack.describe()} for attack in self.attacks],
        }

    @takes_tensors
    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Adversarial:
        """Return the worst ranking form of each image; losses are those of the judge."""
        with prepared(model, batch.images) as ready:
            embed = batch.embed(ready)
            judge = self._judge(self.judge.bind(embed, batch, references), ready, batch)
            best, before = batch.images.clone(), judge(batch.images)
            after, still = before, torch.ones(len(batch), dtype=torch.bool, device=best.device)
            for attack in self.attacks:
                adversarial = attack(ready, batch, references)
                losses = judge(quantize(adversarial.images, batch.images, self.linf))
                better = losses > after
                best[better] = adversarial.images[better]
                after = torch.where(better, losses, after)
                still &= adversarial.zero_gradient.to(best.device)
        return Adversarial(best, before, after, still, torch.stack([before, after]))

    def _judge(self, losses_of: Losses, ready: nn.Module, batch: Batch) -> Losses:
        samples = eot_samples(ready)

        @torch.no_grad()
        def judge(images: Tensor) -> Tensor:
            losses = []
            for number in range(samples):
                with seeded(self.seed, batch, -1), other_draws("judge", number):
                    losses.append(losses_of(images))
            return torch.stack(losses).mean(0)

        return judge


class Transferred(Described):
    """Runs an attack on a surrogate, regardless of the given model and references.

    Args:
        attack: the attack.
        surrogate: the model to attack instead.
        references: features of the surrogate.
    """

    precision = "fp32"

    def __init__(self, attack: Attack, surrogate: nn.Module, references: References) -> None:
        self.attack, self.surrogate, self.references = attack, surrogate, references
        self.linf, self.name = attack.linf, attack.name

    def describe(self) -> dict[str, Any]:
        """Describe the attack for a report."""
        return {**self.attack.describe(), "made_on": "surrogates"}

    @takes_tensors
    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Adversarial:
        """Return the result of the attack on the surrogate."""
        return self.attack(self.surrogate, batch, self.references)
