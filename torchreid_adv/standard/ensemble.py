"""The attacks of the standard evaluation, built from a version and a bound alone."""

from __future__ import annotations

from dataclasses import dataclass

from torchreid_adv.attacks import Attack, MetricDistance, Objective
from torchreid_adv.attacks.best_of import BestOf
from torchreid_adv.attacks.nearest_wrong import PullToNearest
from torchreid_adv.attacks.pgd import apgd_of as apgd
from torchreid_adv.attacks.queries import QueryAttack
from torchreid_adv.attacks.rank_margin import RankLoss, RankMargin
from torchreid_adv.attacks.self_reference import (
    OppositeDirection,
    SelfDistance,
    TransformedSelfDistance,
)
from torchreid_adv.attacks.sign_attack import sign_attack
from torchreid_adv.attacks.signs import Signs
from torchreid_adv.attacks.squares import Squares
from torchreid_adv.distances import Distance
from torchreid_adv.pixels import from_levels
from torchreid_adv.standard.versions import Version
from torchreid_adv.transforms.lgt import LocalGrayscale


@dataclass(frozen=True)
class Member:
    """What is known of an attack of the ensemble before it is built.

    Args:
        name: in results.
        knowledge: what the attacker knows: ``full``, ``self`` (the own image only), ``universal``
            (training images), ``score`` (answers), ``transfer`` (other models) or ``none``.
        gradient: it needs the model's gradient.
        everywhere: it is run on broken queries, too, because a flag compares all of them.
    """

    name: str
    knowledge: str
    gradient: bool = True
    everywhere: bool = False


MEMBERS = (
    Member("push", "full"),
    Member("margin", "full"),
    Member("self", "self"),
    Member("noise", "none", gradient=False, everywhere=True),
    Member("pull", "full"),
    Member("universal", "universal"),
    Member("oblivious", "transfer", gradient=False, everywhere=True),
    Member("transfer", "transfer", gradient=False),
    Member("square", "score", gradient=False),
)
WHITE_BOX = ("push", "margin", "self", "pull")
BLACK_BOX = ("square", "transfer")


def push(version: Version, eps: float, distance: Distance) -> Attack:
    """Away from all right matches."""
    return _restarted(version, eps, distance, MetricDistance(distance))


def margin(version: Version, eps: float, distance: Distance) -> Attack:
    """Nearest wrong matches before right ones."""
    return _restarted(version, eps, distance, RankMargin(distance))


def _restarted(version: Version, eps: float, distance: Distance, objective: Objective) -> Attack:
    """Return the attack from the clean image, or the best of it and of random starts."""
    first = apgd(objective, eps, version.steps)
    others = [
        apgd(objective, eps, version.steps, start="random", seed=seed)
        for seed in range(1, version.restarts)
    ]
    return BestOf([first, *others], distance) if others else first


def self_reference(version: Version, eps: float, distance: Distance) -> Attack:
    """SMA, LTA and ODFA: away from what the model says of the image itself."""
    attacks: list[Attack] = []
    for seed in range(version.restarts):
        for objective in (SelfDistance(distance), OppositeDirection(distance)):
            attacks.append(apgd(objective, eps, version.self_steps, start="random", seed=seed))
        attacks.append(_lta(version, eps, distance, seed))
    return BestOf(attacks, distance)


def _lta(version: Version, eps: float, distance: Distance, seed: int) -> Attack:
    objective = TransformedSelfDistance(distance, LocalGrayscale(p=1.0), seed=seed)
    step = max(from_levels(1), 2.5 * eps / version.self_steps)
    start, steps = "if_stuck" if seed == 0 else "random", version.self_steps
    return sign_attack(
        objective, eps, step_size=step, steps=steps, momentum=1.0, start=start, seed=seed
    )


def pull(version: Version, eps: float, distance: Distance, identities: int) -> Attack:
    """Towards each of the nearest wrong identities, of which there are ``identities`` - 1."""
    attack = apgd(MetricDistance(distance, targeted=True), eps, version.steps)
    count = max(1, min(version.pulls, identities - 1))
    return BestOf([PullToNearest(attack, distance, place=n) for n in range(count)], distance)


def noise(version: Version, eps: float, distance: Distance) -> Attack:
    """The best of some random signs."""
    return _asking(Signs, 1 + version.noise, eps, distance)


def square(version: Version, eps: float, distance: Distance) -> Attack:
    """Square on the average precision itself."""
    return _asking(Squares, version.square, eps, distance)


def _asking(proposals: type, queries: int, eps: float, distance: Distance) -> Attack:
    return QueryAttack(
        RankLoss(distance), eps, proposals, cost=1, queries=queries, seed=0, precision="fp32"
    )


def momentum(version: Version, eps: float, distance: Distance) -> Attack:
    """MI-FGSM, which transfers better than steps without momentum."""
    steps = version.transfer_steps
    step = max(from_levels(1), 2.5 * eps / steps)
    return sign_attack(MetricDistance(distance), eps, step_size=step, steps=steps, momentum=1.0)


def oblivious(version: Version, eps: float, distance: Distance) -> Attack:
    """What is made on the undefended twin: the better of push and margin."""
    return BestOf([push(version, eps, distance), margin(version, eps, distance)], distance)
