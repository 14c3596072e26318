"""Pulling each image towards an identity that the model confuses it with anyway."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.gradient_attack import Adversarial, GradientAttack
from torchreid_adv.attacks.references import References
from torchreid_adv.data.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.prepare import prepared


class PullToNearest:
    """A targeted attack whose target is the wrong identity that is so-and-so near, of each image.

    Args:
        attack: targeted, towards references.
        distance: by which identities are near: mean distance to all features of theirs.
        place: 0 = the nearest wrong identity, 1 = the next one...
    """

    precision = "fp32"

    def __init__(self, attack: GradientAttack, distance: Distance, *, place: int) -> None:
        self.attack, self.distance, self.place = attack, distance, place
        self.linf, self.name = attack.linf, f"pull_{place + 1}"

    def describe(self) -> dict[str, Any]:
        """Return what a report says of the attack."""
        return {**self.attack.describe(), "target": f"wrong identity number {self.place + 1}"}

    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Adversarial:
        """Return the adversarial form of a batch.

        Raises:
            ConfigError: no references, no pids, or too few wrong identities.
        """
        if references is None or batch.pids is None:
            raise ConfigError("this attack needs references, and Batch(images, pids=...)")
        with prepared(model, batch.images) as ready:
            with torch.no_grad():
                clean = self.distance.map(batch.embed(ready)(batch.images))
            chosen = self._targets(clean, batch.pids, references, batch)
            targets = dict(zip(batch.image_ids, chosen.tolist(), strict=True))
            own = dataclasses.replace(references, rule="all", targets=targets)
            return self.attack(ready, batch, own)

    def _targets(self, clean: Tensor, pids: Tensor, references: References, batch: Batch) -> Tensor:
        """Return the identity (N,) that each image is pulled to."""
        known, centers = references.centers(self.distance, batch.images)
        if self.place > len(known) - 2:
            raise ConfigError(
                f"there are {len(known)} identities to pull to, so no wrong one number "
                f"{self.place + 1}"
            )
        apart = torch.cdist(clean, centers)
        apart[pids.to(known.device)[:, None] == known] = float("inf")
        return known[apart.argsort(dim=1, stable=True)[:, self.place]]
