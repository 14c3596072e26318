"""Square, NES and SPSA: attacks that need no gradient of the model."""

from __future__ import annotations

import functools

from torchreid_adv.attacks.estimates import Estimated
from torchreid_adv.attacks.objectives import MetricDistance, Objective
from torchreid_adv.attacks.queries import QueryAttack
from torchreid_adv.attacks.rank_score import RankScore
from torchreid_adv.attacks.squares import Squares
from torchreid_adv.distances import Distance
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.pixels import from_levels
from torchreid_adv.registry import ATTACKS

SCORES = ("distance", "ap", "smooth_ap")


def _objective(score: str, distance: Distance, temperature: float, targeted: bool) -> Objective:
    if score not in SCORES:
        raise ConfigError(f"unknown score '{score}'{suggest(score, SCORES)}")
    if score == "distance":
        return MetricDistance(distance, targeted=targeted)
    if score == "smooth_ap" and temperature <= 0:
        raise ConfigError(f"smooth_ap needs a temperature above 0, got {temperature}")
    temperature = temperature if score == "smooth_ap" else 0.0
    return RankScore(distance, temperature=temperature, targeted=targeted)


@ATTACKS.register(
    "square",
    paper="Andriushchenko et al., Square Attack, 2020",
    title="random squares, kept where they help; forward passes only",
)
def square(
    *,
    eps: float,
    distance: Distance,
    queries: int = 500,
    score: str = "distance",
    temperature: float = 0.01,
    p: float = 0.8,
    targeted: bool = False,
    seed: int = 0,
    precision: str = "fp32",
) -> QueryAttack:
    """Build the Square attack.

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that ranks.
        queries: answers asked for each image.
        score: what grows: ``distance`` to the references, or one minus the ``ap`` or ``smooth_ap``
            of the ranking.
        temperature: of smooth_ap, in units of the distance.
        p: share of the image that the first squares cover, (0, 1].
        targeted: pull instead of push.
        seed: of the squares.
        precision: ``fp32`` or ``bf16``.
    """
    if not 0 < p <= 1:
        raise ConfigError(f"p is the share of an image that a square covers, in (0, 1], got {p}")
    return QueryAttack(
        _objective(score, distance, temperature, targeted),
        eps,
        functools.partial(Squares, p=p, seed=seed),
        cost=1,
        queries=queries,
        seed=seed,
        precision=precision,
    )


def _estimated(
    objective: Objective,
    eps: float,
    *,
    signs: bool,
    queries: int,
    pairs: int,
    sigma: float,
    coarse: int,
    step_size: float,
    momentum: float,
    seed: int,
    precision: str,
) -> QueryAttack:
    if pairs < 1 or coarse < 1 or not 0 < sigma <= 1:
        raise ConfigError(
            f"pairs and coarse are 1 or more and sigma is in (0, 1] pixel units, got {pairs}, "
            f"{coarse}, {sigma}"
        )
    return QueryAttack(
        objective,
        eps,
        functools.partial(
            Estimated,
            pairs=pairs,
            sigma=sigma,
            coarse=coarse,
            step_size=step_size,
            momentum=momentum,
            signs=signs,
            seed=seed,
        ),
        cost=2 * pairs + 1,
        queries=queries,
        seed=seed,
        precision=precision,
    )


@ATTACKS.register(
    "nes",
    paper="Ilyas et al., Black-box Adversarial Attacks with Limited Queries and Information, 2018",
    title="sign steps along a gradient estimated from pairs of answers",
)
def nes(
    *,
    eps: float,
    distance: Distance,
    queries: int = 500,
    pairs: int = 10,
    sigma: float = from_levels(2),
    coarse: int = 4,
    step_size: float = from_levels(2),
    momentum: float = 0.9,
    score: str = "distance",
    temperature: float = 0.01,
    targeted: bool = False,
    seed: int = 0,
    precision: str = "fp32",
) -> QueryAttack:
    """Build NES: normal directions, antithetic pairs.

    Args:
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that ranks.
        queries: answers asked for each image.
        pairs: of answers in a step.
        sigma: length of a direction, pixel units of [0, 1].
        coarse: side of the squares of pixels that move together.
        step_size: pixel units of [0, 1].
        momentum: decay of the running sum of L1-normalized gradients.
        score: ``distance``, ``ap`` or ``smooth_ap``, as of :func:`square`.
        temperature: of smooth_ap, in units of the distance.
        targeted: pull instead of push.
        seed: of the directions.
        precision: ``fp32`` or ``bf16``.
    """
    return _estimated(
        _objective(score, distance, temperature, targeted),
        eps,
        signs=False,
        queries=queries,
        pairs=pairs,
        sigma=sigma,
        coarse=coarse,
        step_size=step_size,
        momentum=momentum,
        seed=seed,
        precision=precision,
    )


@ATTACKS.register(
    "spsa",
    paper="Uesato et al., Adversarial Risk and the Dangers of Evaluating Against Weak Attacks, "
    "2018",
    title="as nes, along directions of +-1",
)
def spsa(
    *,
    eps: float,
    distance: Distance,
    queries: int = 500,
    pairs: int = 10,
    sigma: float = from_levels(2),
    coarse: int = 4,
    step_size: float = from_levels(2),
    momentum: float = 0.9,
    score: str = "distance",
    temperature: float = 0.01,
    targeted: bool = False,
    seed: int = 0,
    precision: str = "fp32",
) -> QueryAttack:
    """Build SPSA: as :func:`nes`, with directions of +-1; sign steps take the place of Adam."""
    return _estimated(
        _objective(score, distance, temperature, targeted),
        eps,
        signs=True,
        queries=queries,
        pairs=pairs,
        sigma=sigma,
        coarse=coarse,
        step_size=step_size,
        momentum=momentum,
        seed=seed,
        precision=precision,
    )
