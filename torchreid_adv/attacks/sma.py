"""SMA and LTA need no other image: away from the model's features of the image itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.fgsm import sign_attack
from torchreid_adv.attacks.loop.gradient_attack import GradientAttack
from torchreid_adv.attacks.loop.objectives import DistanceObjective, Embed, Losses
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.transforms.boxes import Box
from torchreid_adv.transforms.grayscale import LocalGrayscale, RandomGray


class SelfDistance(DistanceObjective):
    """Distance to the image's clean feature: the self metric attack.

    Its gradient at the clean image is exactly zero, so the attack needs a random start.

    Args:
        distance: the distance to attack.
    """

    def describe(self) -> dict[str, Any]:
        """Return the name of the metric, and the reference."""
        return {**super().describe(), "reference": "itself"}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> distance to the clean feature of each image."""
        with torch.no_grad():
            clean_features = self.distance.map(embed(batch.images))

        def losses(images: Tensor) -> Tensor:
            return (self.distance.map(embed(images)) - clean_features).pow(2).sum(
                1
            ) * self.distance.scale

        return losses


class TransformedSelfDistance(SelfDistance):
    """Distance to the feature of the transformed clean image (Gong et al., eqs. 1-6).

    Eq. 6 is printed with pixels; text and code mean features. The published code transforms only
    the first image of a batch; here each image has its own draws, independent of the others.

    Args:
        distance: the distance to attack.
        transform: applied to the clean image, usually LGT with probability 1.
        redraw: draw in every step (LTA), or once (LTA-).
        seed: seed of the draws.
    """

    def __init__(
        self, distance: Distance, transform: RandomGray, *, redraw: bool = True, seed: int = 0
    ) -> None:
        super().__init__(distance)
        self.transform = transform
        self.redraw = redraw
        self.seed = seed

    def describe(self) -> dict[str, Any]:
        """Return the metric and the reference."""
        drawn = "in each step" if self.redraw else "once"
        name = type(self.transform).__name__
        return {**super().describe(), "reference": f"itself through {name}, drawn {drawn}"}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> distance to the feature of each clean image's transformed form."""
        generators = batch.rng(self.seed, "reference")

        def reference() -> Tensor:
            with torch.no_grad():
                views = transformed(batch, self.transform, generators)
                return self.distance.map(embed(views))

        fixed = None if self.redraw else reference()

        def losses(images: Tensor) -> Tensor:
            reference_features = reference() if fixed is None else fixed
            return (self.distance.map(embed(images)) - reference_features).pow(2).sum(
                1
            ) * self.distance.scale

        return losses


def transformed(
    batch: Batch, transform: RandomGray, generators: Sequence[torch.Generator]
) -> Tensor:
    """Return the images of a batch, each transformed within its size by its own draws.

    The frames of a tracklet share the tracklet's generator, in order.
    """
    views = batch.images.clone()
    for row, index, height, width in batch.parts():
        drawn = transform.draw(height, width, generators[row])
        views[index] = transform.apply(views[index], drawn)
    return views


SHIFT = (-8, 8, 8)  # gray levels of red, green and blue


class LocalShift(LocalGrayscale):
    """A random rectangle keeps its color, but for a small shift: LTA's patch without its gray."""

    def apply(self, image: Any, drawn: Box | None) -> Any:
        """Return images (..., 3, H, W) in [0, 1] as drawn."""
        if drawn is None:
            return image
        rows = slice(drawn.top, drawn.top + drawn.height)
        columns = slice(drawn.left, drawn.left + drawn.width)
        result = image.clone()
        shift = image.new_tensor([from_levels(level) for level in SHIFT])[:, None, None]
        result[..., rows, columns] = (image[..., rows, columns] + shift).clamp(0, 1)
        return result


PATCHES: dict[str, type[LocalGrayscale]] = {"gray": LocalGrayscale, "shift": LocalShift}
VULNERABILITY = (
    "Bouniot et al., Vulnerability of Person Re-Identification Models to Metric Adversarial "
    "Attacks, 2020"
)
JOINT = "Gong et al., Robust Person Re-identification with Multi-Modal Joint Defence, 2021"


@attack(
    "sma",
    paper=VULNERABILITY,
    title="away from the image's clean feature",
    step_size=from_levels(1),
    steps=15,
    momentum=0.0,
)
def sma(budget: Budget, distance: Distance) -> GradientAttack:
    """Build the self metric attack: sign steps from a random start; the paper has no momentum."""
    return sign_attack(SelfDistance(distance), budget, start="random")


@attack(
    "lta",
    paper=JOINT,
    title="away from the image's clean feature, through grayscale patches",
    step_size=from_levels(1),
    steps=15,
    momentum=1.0,
)
def lta(
    budget: Budget,
    distance: Distance,
    *,
    legacy: bool = False,
    patch: str = "gray",
    area_max: float = 0.4,
) -> GradientAttack:
    """Build the local transformation attack: a new grayscale patch of the image in each step.

    On a gray image such a patch changes nothing; it gets a random start.

    Options:
        legacy: draw patches as in the published code, see LGT.
        patch: ``gray`` as in the paper, or ``shift``: its color is shifted by a few gray levels.
        area_max: largest area of a patch, share of the image.
    """
    patches = _patches(patch, legacy=legacy, area_max=area_max)
    return _transformed_attack(budget, distance, patches, redraw=True)


@attack(
    "lta_minus",
    paper=JOINT,
    title="LTA with one patch for all steps",
    step_size=from_levels(1),
    steps=15,
    momentum=1.0,
)
def lta_minus(budget: Budget, distance: Distance, *, legacy: bool = False) -> GradientAttack:
    """Build LTA-: as :func:`lta`, but the grayscale patch is drawn once.

    Options:
        legacy: draw patches as in the published code, see LGT.
    """
    return _transformed_attack(budget, distance, _patches("gray", legacy=legacy), redraw=False)


def _patches(kind: str, **options: Any) -> RandomGray:
    if kind not in PATCHES:
        raise ConfigError(f"unknown patch '{kind}'{suggest(kind, PATCHES)}")
    return PATCHES[kind](p=1.0, **options)


def _transformed_attack(
    budget: Budget, distance: Distance, patches: RandomGray, *, redraw: bool
) -> GradientAttack:
    objective = TransformedSelfDistance(distance, patches, redraw=redraw, seed=budget.seed)
    return sign_attack(objective, budget, start="if_stuck")
