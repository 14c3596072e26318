"""NES and SPSA: gradients estimated from the model's answers."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from torchreid_adv.attacks.black_box.query_attack import Proposals, QueryAttack
from torchreid_adv.attacks.black_box.square import scored
from torchreid_adv.attacks.budget import Budget, attack
from torchreid_adv.attacks.loop.objectives import Losses
from torchreid_adv.attacks.loop.perturbations import LinfDelta
from torchreid_adv.attacks.loop.steps import SignStep
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError


class Estimated(Proposals):
    """Sign steps along a gradient that is estimated from pairs of answers.

    ``g = mean of (L(x + sigma u) - L(x - sigma u)) / (2 sigma) u`` over random directions u, drawn
    per image: normal (NES, Ilyas et al.) or of +-1 (SPSA, Uesato et al.).

    Args:
        batch: clean images.
        bounds: bounds of the perturbation, reset to the batch.
        rounds: number of proposals.
        pairs: pairs of answers in a step.
        sigma: length of u, pixel units of [0, 1].
        coarse: side of the squares of pixels that share a value of u.
        step_size: pixel units of [0, 1].
        momentum: decay of the running sum of L1-normalized gradients.
        signs: u of +-1 instead of normal numbers.
        seed: seed of the directions.
    """

    def __init__(
        self,
        batch: Batch,
        bounds: LinfDelta,
        rounds: int,
        *,
        pairs: int,
        sigma: float,
        coarse: int,
        step_size: float,
        momentum: float,
        signs: bool,
        seed: int,
    ) -> None:
        super().__init__(batch, bounds, rounds)
        self.pairs, self.sigma, self.coarse, self.signs = pairs, sigma, coarse, signs
        self.draws = batch.rng(seed, "estimate")
        self.rule = SignStep(bounds.parameters(), lr=step_size, momentum=momentum)

    def propose(self, best: Tensor, losses_of: Losses, number: int) -> Tensor:
        """Return images one step from the end of the last step, whether it helped or not."""
        images = self.bounds.images
        images.grad = self.estimate(images.detach(), losses_of)
        self.rule.step(images.new_empty(0), lambda: self.bounds.project(self.batch.images))
        return images.detach().clone()

    def estimate(self, images: Tensor, losses_of: Losses) -> Tensor:
        """Return the estimated gradient (N, 3, H, W); all queried images lie in [0, 1]."""
        gradient = torch.zeros_like(images)
        for _ in range(self.pairs):
            directions = self._directions(images)
            high, low = (
                losses_of((images + sign * self.sigma * directions).clamp(0, 1)) for sign in (1, -1)
            )
            gradient += (high - low).view(-1, 1, 1, 1) * directions
        return gradient / (2 * self.sigma * self.pairs)

    def _directions(self, images: Tensor) -> Tensor:
        directions = torch.zeros_like(images)
        for row, draws in enumerate(self.draws):
            height, width = self.bounds.sizes[row]
            shape = (3, -(-height // self.coarse), -(-width // self.coarse))
            drawn = torch.randn(shape, generator=draws)
            drawn = torch.where(drawn < 0, -1.0, 1.0) if self.signs else drawn
            if self.coarse > 1:
                drawn = F.interpolate(drawn[None], scale_factor=float(self.coarse))[0]
            directions[row, :, :height, :width] = drawn[:, :height, :width].to(images)
        return directions


def _estimated(
    signs: bool,
    budget: Budget,
    distance: Distance,
    queries: int = 500,
    pairs: int = 10,
    sigma: float = from_levels(2),
    coarse: int = 4,
    *,
    score: str = "distance",
    temperature: float = 0.01,
    targeted: bool = False,
) -> QueryAttack:
    """Build an attack along estimated gradients; ``signs`` draws +-1 instead of normal numbers.

    Options:
        queries: answers asked for each image.
        pairs: pairs of answers in a step.
        sigma: length of a direction, pixel units of [0, 1].
        coarse: side of the squares of pixels that move together.
        score: ``distance``, ``ap`` or ``smooth_ap``, as in :func:`square`.
        temperature: temperature of smooth_ap, in units of the distance.
        targeted: pull instead of push.
    """
    objective = scored(score, distance, temperature=temperature, targeted=targeted)
    if pairs < 1 or coarse < 1 or not 0 < sigma <= 1:
        raise ConfigError(
            f"pairs and coarse are 1 or more and sigma is in (0, 1] pixel units, got {pairs}, "
            f"{coarse}, {sigma}"
        )
    steps = functools.partial(
        Estimated,
        pairs=pairs,
        sigma=sigma,
        coarse=coarse,
        step_size=budget.required("step_size"),
        momentum=budget.required("momentum"),
        signs=signs,
        seed=budget.seed,
    )
    return QueryAttack(objective, budget, steps, cost=2 * pairs + 1, queries=queries)


nes = attack(
    "nes",
    paper="Ilyas et al., Black-box Adversarial Attacks with Limited Queries and Information, 2018",
    title="sign steps along a gradient estimated from pairs of answers",
    step_size=from_levels(2),
    momentum=0.9,
)(functools.partial(_estimated, False))

# sign steps replace the paper's Adam
spsa = attack(
    "spsa",
    paper="Uesato et al., Adversarial Risk and the Dangers of Evaluating Against Weak Attacks, "
    "2018",
    title="as nes, along directions of +-1",
    step_size=from_levels(2),
    momentum=0.9,
)(functools.partial(_estimated, True))
