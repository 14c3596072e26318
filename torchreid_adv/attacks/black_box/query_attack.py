"""Attacks that only query a model: the loop, the number of queries, and the result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.budget import Budget
from torchreid_adv.attacks.loop.gradient_attack import Adversarial, takes_tensors
from torchreid_adv.attacks.loop.objectives import Losses, Objective
from torchreid_adv.attacks.loop.perturbations import LinfDelta
from torchreid_adv.attacks.loop.randomness import seeded
from torchreid_adv.attacks.references import References
from torchreid_adv.core.batch import Batch
from torchreid_adv.core.described import Described
from torchreid_adv.core.pixels import to_levels
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.prepare import prepared

POINTS = 9  # of the curve over queries, besides the clean image


@dataclass(frozen=True)
class Queried(Adversarial):
    """The result of an attack by queries.

    ``trace`` holds the best losses so far, one row for each entry of ``spent``: the curve of the
    objective over queries. With the objective :class:`RankScore`, one minus its mean over images is
    the mean average precision.

    Args:
        queries: (N,) int64, number of queries for each image.
        spent: (rows of trace,) int64, queries for an image up to that row.
        passed: row of trace -> the best images (N, 3, H, W) so far, for some rows between the first
            and the last.
    """

    queries: Tensor
    spent: Tensor
    passed: Mapping[int, Tensor]

    def facts(self) -> dict[str, Tensor]:
        """Return ``queries``, and ``losses``: the best at the start, each stage, and the end."""
        losses = self.trace[[0, *self.passed, len(self.trace) - 1]]
        return {"queries": self.queries, "losses": losses}

    def stages(self) -> dict[int, Tensor]:
        """Return number of queries so far -> the best images (N, 3, H, W) so far."""
        return {int(self.spent[row]): images for row, images in self.passed.items()}


def checkpoints(rounds: int) -> list[int]:
    """Return the rounds after which images are stored: at most eight, before the last.

    They are denser at the start, where losses rise fastest: ``rounds * (k / 9) ** 2``.
    """
    places = {round(rounds * (k / POINTS) ** 2) for k in range(1, POINTS)}
    return sorted(places - {0, rounds})


class Proposals(ABC):
    """Proposes images to try; created for each batch.

    Args:
        batch: clean images.
        bounds: bounds of the perturbation, reset to the batch.
        rounds: number of proposals.
    """

    def __init__(self, batch: Batch, bounds: LinfDelta, rounds: int) -> None:
        self.batch, self.bounds, self.rounds = batch, bounds, rounds

    @abstractmethod
    def propose(self, best: Tensor, losses_of: Losses, number: int) -> Tensor:
        """Return images (N, 3, H, W) within the bounds to try as number 0, 1, ..."""


class QueryAttack(Described):
    """Try proposals, and keep the best one for each image.

    Args:
        objective: the objective to raise; only its values are used.
        budget: the budget; ``queries`` is separate.
        proposals: (batch, bounds, rounds) -> Proposals, a class or a ``functools.partial`` of it.
        cost: queries for a proposal, including the one for its loss.
        queries: queries for each image, including the one for the clean image.

    Raises:
        ConfigError: there are too few queries for a proposal.
    """

    needs_gradient = False

    def __init__(
        self,
        objective: Objective,
        budget: Budget,
        proposals: Callable[[Batch, LinfDelta, int], Proposals],
        *,
        cost: int,
        queries: int,
    ) -> None:
        self.rounds = (queries - 1) // cost
        if self.rounds < 1:
            raise ConfigError(
                f"a proposal of this attack costs {cost} queries and the clean image one; "
                f"queries={queries} is too few"
            )
        self.name = type(objective).__name__
        self.linf: float | None = budget.eps
        self.objective, self.proposals, self.cost = objective, proposals, cost
        self.seed, self.precision = budget.seed, budget.precision

    @property
    def queries(self) -> int:
        """The number of queries for each image that fits the budget."""
        return 1 + self.rounds * self.cost

    def describe(self) -> dict[str, Any]:
        """Describe the attack for a report, lengths in gray levels."""
        return {
            "eps": round(to_levels(self.linf or 0), 6),
            "queries": self.queries,
            "queries_per_step": self.cost,
            "seed": self.seed,
            "precision": self.precision,
            "knowledge": f"black-box: {self.queries} answers of the scored model for each image",
            **self.objective.describe(),
        }

    @takes_tensors
    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Queried:
        """Attack a batch; the model, the batch and the random state are left unchanged.

        Args:
            model: images in [0, 1] with ``sizes`` -> features; need not be differentiable.
            batch: clean images.
            references: references for the objective.

        Raises:
            ConfigError: the batch has tracklets.
        """
        if batch.images.ndim != 4:
            raise ConfigError("attacks by queries take still images (N, 3, H, W), not tracklets")
        with prepared(model, batch.images, precision=self.precision) as ready, torch.no_grad():
            embed = batch.embed(ready)
            return self._run(self.objective.bind(embed, batch, references), batch)

    def _run(self, losses_of: Losses, batch: Batch) -> Queried:
        bounds = LinfDelta(self.linf or 0)
        bounds.reset(batch)
        proposals = self.proposals(batch, bounds, self.rounds)
        best, losses = batch.images.clone(), self._asked(losses_of, batch, 0)(batch.images)
        trace, passed, rows = [losses], {}, checkpoints(self.rounds)
        for number in range(self.rounds):
            ask = self._asked(losses_of, batch, number + 1)
            tried = proposals.propose(best, ask, number)
            new_losses = ask(tried)
            better = new_losses > losses
            best[better], losses = tried[better], torch.where(better, new_losses, losses)
            trace.append(losses)
            if number + 1 in rows:
                passed[number + 1] = best.clone()
        still = (best == batch.images).flatten(1).all(1)
        spent = 1 + self.cost * torch.arange(self.rounds + 1)
        queries = torch.full((len(batch),), self.queries)
        return Queried(best, trace[0], trace[-1], still, torch.stack(trace), queries, spent, passed)

    def _asked(self, losses_of: Losses, batch: Batch, step: int) -> Losses:
        """Return the losses with a fixed random state for all answers of a step."""

        def ask(images: Tensor) -> Tensor:
            with seeded(self.seed, batch, step):
                return losses_of(images)

        return ask


class Signs(Proposals):
    """Every channel of every pixel randomly at one of the two ends of its bound.

    Args:
        batch: clean images.
        bounds: bounds of the perturbation, reset to the batch.
        rounds: number of proposals.
        seed: seed of the signs.
    """

    def __init__(self, batch: Batch, bounds: LinfDelta, rounds: int, *, seed: int = 0) -> None:
        super().__init__(batch, bounds, rounds)
        self.draws = batch.rng(seed, "signs")

    def propose(self, best: Tensor, losses_of: Losses, number: int) -> Tensor:
        """Return the clean images with new noise, regardless of the best so far."""
        tried = self.batch.images.clone()
        for row, draws in enumerate(self.draws):
            height, width = self.bounds.sizes[row]
            area = (row, ..., slice(height), slice(width))
            up = torch.randint(2, (3, height, width), generator=draws).bool().to(best.device)
            tried[area] = torch.where(up, self.bounds.high[area], self.bounds.low[area])
        return tried
