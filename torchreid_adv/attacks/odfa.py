"""ODFA and FNA: toward the opposite of an image's feature, or the furthest other identity."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.fgsm import iteration_rule, sign_attack
from torchreid_adv.attacks.loop.gradient_attack import GradientAttack
from torchreid_adv.attacks.loop.objectives import DistanceObjective, Embed, Losses
from torchreid_adv.attacks.references import References
from torchreid_adv.attacks.sma import VULNERABILITY, SelfDistance
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError


class FurthestNegative(DistanceObjective):
    """Away from all features of the image's identity, toward the furthest other identity (FNA).

    ``sum_i |f - p_i|^2 - |f - c|^2`` (Bouniot et al., Vulnerability of Person Re-Identification
    Models to Metric Adversarial Attacks), where c is the mean feature of the identity furthest from
    the clean image, computed once.

    Args:
        distance: the distance to attack.
    """

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> distance to their identity minus that to the furthest other identity.

        Raises:
            ConfigError: references are missing, or all of one identity.
            DataError: an image has no reference of its identity.
        """
        if references is None:
            raise ConfigError("this attack needs references: pass References(features, rule=...)")
        means, spread = references.means(batch, self.distance)
        counts = references.positives(batch).sum(1).to(means)
        with torch.no_grad():
            clean = self.distance.map(embed(batch.images))
            far = self._furthest(clean, references, batch)

        def losses(images: Tensor) -> Tensor:
            mapped = self.distance.map(embed(images))
            push = counts * ((mapped - means).pow(2).sum(1) + spread)
            return (push - (mapped - far).pow(2).sum(1)) * self.distance.scale

        return losses

    def _furthest(self, clean: Tensor, references: References, batch: Batch) -> Tensor:
        pids, centers = references.centers(self.distance, batch.images)
        if len(pids) < 2:
            raise ConfigError("this attack needs references of two identities at least")
        assert batch.pids is not None  # needed for the positives above
        apart = torch.cdist(clean, centers)
        apart[batch.pids.to(pids.device)[:, None] == pids] = -1
        return centers[apart.argmax(1)]


class OppositeDirection(SelfDistance):
    """Nearness to the opposite of the image's clean feature (Zheng et al., U-turn attack).

    The target is the negated direction of the clean feature, and fixed. On unit features this is
    the self metric attack: ``|f + f0|^2 = 4 - |f - f0|^2``; otherwise it also pulls lengths to 1.
    """

    def describe(self) -> dict[str, Any]:
        """Return the metric and the reference."""
        return {**super().describe(), "reference": "its own opposite"}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> minus the distance to the opposite of each clean feature."""
        with torch.no_grad():
            target = -F.normalize(self.distance.map(embed(batch.images)), dim=1)

        def losses(images: Tensor) -> Tensor:
            return -(self.distance.map(embed(images)) - target).pow(2).sum(1) * self.distance.scale

        return losses


U_TURN = "Zheng et al., U-turn: Crafting Adversarial Queries with Opposite-direction Features, 2022"


@attack(
    "odfa",
    paper=U_TURN,
    title="toward the opposite of the image's clean feature",
    step_size=from_levels(1),
    steps=functools.partial(iteration_rule, rounding="round"),
)
def odfa(budget: Budget, distance: Distance) -> GradientAttack:
    """Build the opposite-direction feature attack: sign steps from a random start.

    The published code starts at the clean image, where the gradient on unit features is only
    rounding noise.

    Options:
        steps: None = ``round(min(eps + 4, 1.25 eps))``, eps in gray levels.
    """
    return sign_attack(OppositeDirection(distance), budget, start="random")


@attack(
    "fna",
    paper=VULNERABILITY,
    title="from the image's identity to the furthest other one",
    step_size=from_levels(1),
    steps=15,
)
def fna(budget: Budget, distance: Distance) -> GradientAttack:
    """Build the furthest-negative attack."""
    return sign_attack(FurthestNegative(distance), budget)
