"""CA, QA, SP-QA, TMA, LTM, GTM and GTT: attacks on ranks, with their own figures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from torchreid_adv.attacks.gradient_attack import Adversarial, GradientAttack
from torchreid_adv.attacks.perturbations import LinfDelta
from torchreid_adv.attacks.randomness import seeded
from torchreid_adv.attacks.ranking import CandidateRank, QueryRank, RankingObjective
from torchreid_adv.attacks.ranking_labels import (
    GreedyTopMisranking,
    GreedyTopTranslocation,
    LearningToMisrank,
    TargetedMismatch,
)
from torchreid_adv.attacks.references import References
from torchreid_adv.attacks.steps import SignStep
from torchreid_adv.data.batch import Batch
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.models.prepare import prepared
from torchreid_adv.pixels import from_levels
from torchreid_adv.registry import ATTACKS

RANKING = "Zhou et al., Adversarial Attack and Defense in Deep Ranking, 2021"
MISMATCH = "Tolias et al., Targeted Mismatch Adversarial Attack, 2019"
MISRANK = "Wang et al., Transferable, Controllable, and Inconspicuous Attacks on Re-ID, 2020"
_STEP, _STEPS = from_levels(3), 32


@dataclass(frozen=True)
class Ranked(Adversarial):
    """What an attack on ranks gives back.

    Args:
        figure: name of the attack's own figure: ``percentile rank`` (0 = first, 100 = last, mean
            over what was chosen), ``cosine`` (to the target), ``rank-1`` (1 = the nearest image
            that counts is of the own identity) or ``first place kept among the first four``.
        figure_before: (N,) of the clean images.
        figure_after: (N,) of the adversarial images.
    """

    figure: str
    figure_before: Tensor
    figure_after: Tensor

    def facts(self) -> dict[str, Tensor]:
        """Return the figure before and after."""
        return {"figure_before": self.figure_before, "figure_after": self.figure_after}


class RankingAttack(GradientAttack):
    """Sign steps on an objective of ranks.

    Args:
        objective: what grows.
        eps: L-infinity bound, pixel units of [0, 1].
        step_size: pixel units of [0, 1].
        steps: how many.
        seed: of the choice and of everything random inside the model.
        precision: ``fp32`` or ``bf16``.
    """

    objective: RankingObjective

    def __init__(
        self,
        objective: RankingObjective,
        eps: float,
        *,
        step_size: float,
        steps: int,
        seed: int,
        precision: str,
    ) -> None:
        super().__init__(
            objective,
            LinfDelta(eps),
            functools.partial(SignStep, lr=step_size),
            steps,
            seed=seed,
            precision=precision,
        )

    def __call__(
        self, model: nn.Module, batch: Batch, references: References | None = None
    ) -> Ranked:
        """Attack a batch; the model, the batch and the random state are left as they were."""
        with prepared(model, batch.images, precision=self.precision) as ready:
            found = super().__call__(ready, batch, references)
            embed = batch.embed(ready)
            mapped = self.objective.distance.map
            with torch.no_grad(), seeded(self.seed, batch, self.steps):
                _, figure = self.objective.functions(embed, batch, references)
                clean, moved = (figure(mapped(embed(x))) for x in (batch.images, found.images))
        return Ranked(
            found.images,
            found.before,
            found.after,
            found.zero_gradient,
            found.trace,
            self.objective.figure_name,
            clean,
            moved,
        )


ERS = (
    "ca_plus",
    "ca_minus",
    "qa_plus",
    "qa_minus",
    "tma",
    "es_shift",
    "es_r1",
    "ltm",
    "gtm",
    "gtt",
)


def robustness_score(figures: Mapping[str, float]) -> float:
    """Return the empirical robustness score of deep ranking, 0 = defenseless, 100 = untouched.

    ``mean of {2 CA+, 100 - CA-, 2 QA+, 100 - QA-, 100 (1 - TMA), 50 (2 - ES_shift), ES_R1, LTM,
    GTM, GTT}`` (Zhou et al.): percentile ranks of CA and QA after the attack in percent, TMA the
    cosine after it, ES_shift the cosine distance that the self attack moves a feature, ES_R1, LTM
    and GTM the rank-1 after the attack in percent, GTT the share of first places kept among the
    first four, in percent.

    Args:
        figures: one for each of ``ca_plus``, ``ca_minus``, ``qa_plus``, ``qa_minus``, ``tma``,
            ``es_shift``, ``es_r1``, ``ltm``, ``gtm`` and ``gtt``.

    Raises:
        ConfigError: one is missing, or there are others.
    """
    if set(figures) != set(ERS):
        wrong = sorted(set(ERS) ^ set(figures))
        raise ConfigError(f"the score is of {', '.join(ERS)}; missing or unknown: {wrong}")
    parts = [
        2 * figures["ca_plus"],
        100 - figures["ca_minus"],
        2 * figures["qa_plus"],
        100 - figures["qa_minus"],
        100 * (1 - figures["tma"]),
        50 * (2 - figures["es_shift"]),
        *(figures[name] for name in ("es_r1", "ltm", "gtm", "gtt")),
    ]
    return sum(parts) / len(parts)


Objectives = Callable[..., RankingObjective]


def _on_others(
    objective: Objectives,
    *,
    eps: float,
    distance: Distance,
    step_size: float = _STEP,
    steps: int = _STEPS,
    width: int = 5,
    seed: int = 0,
    precision: str = "fp32",
) -> RankingAttack:
    """Build CA or QA.

    Args:
        objective: made of the distance, the width and the seed.
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that ranks.
        step_size: pixel units of [0, 1].
        steps: number of steps.
        width: number of queries (CA) or candidates (QA).
        seed: of the choice.
        precision: ``fp32`` or ``bf16``.
    """
    made = functools.partial(objective, width=width)
    return _on_labels(
        made,
        eps=eps,
        distance=distance,
        step_size=step_size,
        steps=steps,
        seed=seed,
        precision=precision,
    )


def _on_labels(
    objective: Objectives,
    *,
    eps: float,
    distance: Distance,
    step_size: float = _STEP,
    steps: int = _STEPS,
    seed: int = 0,
    precision: str = "fp32",
) -> RankingAttack:
    """Build an attack whose objective needs the distance and the seed only."""
    return RankingAttack(
        objective(distance, seed=seed),
        eps,
        step_size=step_size,
        steps=steps,
        seed=seed,
        precision=precision,
    )


for _name, _title, _kind, _up in (
    ("ca_plus", "the image up in the lists of random queries", CandidateRank, True),
    ("ca_minus", "the image down in the lists it is on top of", CandidateRank, False),
    ("qa_plus", "random candidates up in the image's list", QueryRank, True),
    ("qa_minus", "the first candidates down in the image's list", QueryRank, False),
):
    _build = functools.partial(_on_others, functools.partial(_kind, up=_up))
    ATTACKS.register(_name, paper=RANKING, title=_title)(_build)

for _name, _paper, _title, _objective in (
    ("tma", MISMATCH, "towards a random image", TargetedMismatch),
    ("ltm", MISRANK, "the furthest other identity before the nearest own", LearningToMisrank),
    ("gtm", RANKING, "towards the nearest other identity", GreedyTopMisranking),
    ("gtt", RANKING, "the first image out of the first four", GreedyTopTranslocation),
):
    ATTACKS.register(_name, paper=_paper, title=_title)(functools.partial(_on_labels, _objective))


@ATTACKS.register(
    "sp_qa", paper=RANKING, title="as qa_plus or qa_minus, the nearest neighbors staying"
)
def sp_qa(
    *,
    eps: float,
    distance: Distance,
    step_size: float = _STEP,
    steps: int = _STEPS,
    up: bool = True,
    width: int = 5,
    keep: float = 10.0,
    neighbors: int = 5,
    seed: int = 0,
    precision: str = "fp32",
) -> RankingAttack:
    """Build SP-QA: QA, and the nearest neighbors of the clean image stay where they are.

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that ranks.
        step_size: pixel units of [0, 1].
        steps: number of steps.
        up: raise random candidates, or lower some of the nearest.
        width: number of candidates.
        keep: weight of the neighbors.
        neighbors: how many stay.
        seed: of the choice.
        precision: ``fp32`` or ``bf16``.
    """
    objective = QueryRank(distance, up=up, width=width, keep=keep, neighbors=neighbors, seed=seed)
    return RankingAttack(
        objective, eps, step_size=step_size, steps=steps, seed=seed, precision=precision
    )
