"""DI-FGSM and TI-FGSM for images of any shape: gradients that transfer between networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.fgsm import sign_attack
from torchreid_adv.attacks.loop.gradient_attack import GradientAttack
from torchreid_adv.attacks.loop.gradients import Smoothed
from torchreid_adv.attacks.loop.objectives import Embed, Losses, MetricDistance, Objective
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError


@dataclass(frozen=True)
class Placement:
    """The position of a smaller copy of an image in the image's frame, in pixels."""

    top: int
    left: int
    height: int
    width: int


class InputDiversity:
    """Shows a smaller copy of the image at a random place on black, with some probability.

    After Xie et al. Height and width shrink by the same factor, so that a person keeps their
    proportions and the frame its size.

    Args:
        p: probability, [0, 1].
        smallest: smallest factor, (0, 1].

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(self, *, p: float = 0.5, smallest: float = 0.9) -> None:
        if not 0 <= p <= 1 or not 0 < smallest <= 1:
            raise ConfigError(
                f"input diversity needs p in [0, 1] and smallest in (0, 1], got {p}, {smallest}"
            )
        self.p, self.smallest = p, smallest

    def draw(self, height: int, width: int, draws: torch.Generator) -> Placement | None:
        """Return the placement of an image's copy, or None for the image itself."""
        varied, scale, down, right = torch.rand(4, generator=draws, dtype=torch.float64).tolist()
        if varied >= self.p:
            return None
        scale = self.smallest + (1 - self.smallest) * scale
        h, w = max(1, round(height * scale)), max(1, round(width * scale))
        return Placement(int(down * (height - h + 1)), int(right * (width - w + 1)), h, w)

    def apply(self, image: Tensor, place: Placement | None) -> Tensor:
        """Return an image (3, H, W) with its copy at that place; differentiable."""
        if place is None:
            return image
        height, width = image.shape[-2:]
        small = F.interpolate(
            image[None], (place.height, place.width), mode="bilinear", align_corners=False
        )[0]
        right, below = width - place.left - place.width, height - place.top - place.height
        return F.pad(small, (place.left, right, place.top, below))


class Diversified(Objective):
    """An objective seen through input diversity, with new draws in each step.

    Args:
        objective: the objective to raise.
        diversity: how the images vary.
        seed: seed of the draws, which are per image.
    """

    def __init__(self, objective: Objective, diversity: InputDiversity, *, seed: int = 0) -> None:
        self.objective, self.diversity, self.seed = objective, diversity, seed

    def describe(self) -> dict[str, Any]:
        """Return the description of the objective, and the diversity."""
        diversity = {"p": self.diversity.p, "smallest": self.diversity.smallest}
        return {**self.objective.describe(), "input_diversity": diversity}

    def bind(self, embed: Embed, batch: Batch, references: References | None = None) -> Losses:
        """Return images -> losses, on varied images if a gradient is needed."""
        generators = batch.rng(self.seed, "diversity")
        losses_of = self.objective.bind(embed, batch, references)

        def losses(images: Tensor) -> Tensor:
            if not images.requires_grad:  # the reported losses are those of the unvaried image
                return losses_of(images)
            return losses_of(self._varied(images, batch, generators))

        return losses

    def _varied(self, images: Tensor, batch: Batch, generators: list[torch.Generator]) -> Tensor:
        height, width = images.shape[-2:]
        views = torch.zeros_like(images)
        for row, index, h, w in batch.parts():
            drawn = self.diversity.draw(h, w, generators[row])
            view = self.diversity.apply(images[index][:, :h, :w], drawn)
            views[index] = F.pad(view, (0, width - w, 0, height - h))
        return views


@attack(
    "difgsm",
    paper="Xie et al., Improving Transferability of Adversarial Examples with Input Diversity, "
    "2019",
    title="sign steps through smaller copies at random places",
    step_size=from_levels(1),
    steps=10,
    momentum=1.0,
)
def difgsm(
    budget: Budget,
    distance: Distance,
    *,
    p: float = 0.5,
    smallest: float = 0.9,
    targeted: bool = False,
) -> GradientAttack:
    """Build DI-FGSM (momentum 0: DI, momentum 1: M-DI), without the published square resize.

    Options:
        p: probability that an image is varied in a step.
        smallest: smallest factor of its size.
        targeted: pull instead of push.
    """
    objective = MetricDistance(distance, targeted=targeted)
    diversity = InputDiversity(p=p, smallest=smallest)
    return sign_attack(Diversified(objective, diversity, seed=budget.seed), budget)


@attack(
    "tifgsm",
    paper="Dong et al., Evading Defenses to Transferable Adversarial Examples by "
    "Translation-Invariant Attacks, 2019",
    title="sign steps along a smoothed gradient",
    step_size=from_levels(1),
    steps=10,
    momentum=1.0,
)
def tifgsm(
    budget: Budget,
    distance: Distance,
    *,
    kernel: int = 15,
    reach: float = 3.0,
    p: float = 0.0,
    smallest: float = 0.9,
    targeted: bool = False,
) -> GradientAttack:
    """Build TI-FGSM; with p > 0 it is combined with input diversity (TI-DIM).

    Options:
        kernel: odd length of a side of the Gaussian kernel, pixels.
        reach: number of standard deviations from its center to its border.
        p: probability that an image is varied in a step.
        smallest: smallest factor of its size.
        targeted: pull instead of push.
    """
    objective: Objective = MetricDistance(distance, targeted=targeted)
    if p:
        objective = Diversified(objective, InputDiversity(p=p, smallest=smallest), seed=budget.seed)
    return sign_attack(objective, budget, gradient=Smoothed(kernel=kernel, reach=reach))
