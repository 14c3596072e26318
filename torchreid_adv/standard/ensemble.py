"""The attacks of the standard evaluation, built from a version and a bound alone."""

from __future__ import annotations

import functools
import statistics
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from torchreid_adv.attacks import (
    Attack,
    Budget,
    Fitted,
    MetricDistance,
    Objective,
    References,
    SignStep,
    UniversalFit,
    UniversalPerturbation,
)
from torchreid_adv.attacks.apgd import PullToNearest
from torchreid_adv.attacks.average_precision import RankLoss, RankMargin
from torchreid_adv.attacks.black_box.query_attack import QueryAttack, Signs
from torchreid_adv.attacks.black_box.square import Squares
from torchreid_adv.attacks.combined import BestOf
from torchreid_adv.attacks.fgsm import sign_attack
from torchreid_adv.attacks.learned.triplets import CentroidTriplet
from torchreid_adv.attacks.learned.universal import load_universal, save_universal
from torchreid_adv.attacks.odfa import OppositeDirection
from torchreid_adv.attacks.pgd import apgd_of as apgd
from torchreid_adv.attacks.sma import SelfDistance, TransformedSelfDistance
from torchreid_adv.core.batch import Batch, chunks, filled
from torchreid_adv.core.pixels import from_levels, to_tensor
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.data.images import resized
from torchreid_adv.data.loading import read_groups
from torchreid_adv.distances import Distance
from torchreid_adv.models import extract
from torchreid_adv.models.features import device_of
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.models.prepare import prepared
from torchreid_adv.standard.versions import Version
from torchreid_adv.transforms.grayscale import LocalGrayscale


@dataclass(frozen=True)
class Member:
    """The properties of an attack of the ensemble before it is built.

    Args:
        name: in results.
        knowledge: of the attacker: ``full``, ``self`` (only the image it changes), ``universal``
            (training images), ``score`` (answers), ``transfer`` (other models) or ``none``.
        gradient: it needs the model's gradient.
        everywhere: it is also run on broken queries, because a flag compares all of them.
        arm: the white-box attack that this member is a round of; "" outside rounds.
        round: number of the round, from 0.
        steps: of the round.
    """

    name: str
    knowledge: str
    gradient: bool = True
    everywhere: bool = False
    arm: str = ""
    round: int = 0
    steps: int = 0


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
    """Away from all correct matches."""
    return _restarted(version, eps, distance, MetricDistance(distance))


def margin(version: Version, eps: float, distance: Distance) -> Attack:
    """Rank the nearest incorrect matches before correct ones."""
    return _restarted(version, eps, distance, RankMargin(distance))


def _restarted(version: Version, eps: float, distance: Distance, objective: Objective) -> Attack:
    """Return the attack from the clean image, or the best of that and of random starts."""
    first = apgd(objective, Budget(eps=eps, steps=version.steps))
    others = [
        apgd(objective, Budget(eps=eps, steps=version.steps, seed=seed), start="random")
        for seed in range(1, version.restarts)
    ]
    return BestOf([first, *others], distance) if others else first


def self_reference(version: Version, eps: float, distance: Distance) -> Attack:
    """SMA, LTA and ODFA: away from the image's clean feature."""
    attacks: list[Attack] = []
    for seed in range(version.restarts):
        for build in (away_from_itself, opposite, local_grayscale):
            attacks.append(build(version, eps, distance, seed=seed))
    return BestOf(attacks, distance)


def away_from_itself(version: Version, eps: float, distance: Distance, *, seed: int = 0) -> Attack:
    """SMA: away from the feature of the image itself."""
    budget = Budget(eps=eps, steps=version.self_steps, seed=seed)
    return apgd(SelfDistance(distance), budget, start="random")


def opposite(version: Version, eps: float, distance: Distance, *, seed: int = 0) -> Attack:
    """ODFA: toward the opposite of the feature of the image itself."""
    budget = Budget(eps=eps, steps=version.self_steps, seed=seed)
    return apgd(OppositeDirection(distance), budget, start="random")


def local_grayscale(version: Version, eps: float, distance: Distance, *, seed: int = 0) -> Attack:
    """LTA: away from the feature of the image with a gray patch."""
    objective = TransformedSelfDistance(distance, LocalGrayscale(p=1.0), seed=seed)
    step = max(from_levels(1), 2.5 * eps / version.self_steps)
    steps = version.self_steps
    budget = Budget(eps=eps, step_size=step, steps=steps, momentum=1.0, seed=seed)
    return sign_attack(objective, budget, start="if_stuck" if seed == 0 else "random")


def pull(version: Version, eps: float, distance: Distance, identities: int) -> Attack:
    """Toward each of the nearest incorrect identities, at most ``identities`` - 1."""
    count = max(1, min(version.pulls, identities - 1))
    pulls = [pull_to(version, eps, distance, place=place) for place in range(count)]
    return BestOf(pulls, distance)


def pull_to(version: Version, eps: float, distance: Distance, *, place: int) -> Attack:
    """Toward the nearest incorrect identity (place 0), or the next ones."""
    budget = Budget(eps=eps, steps=version.steps)
    attack = apgd(MetricDistance(distance, targeted=True), budget)
    return PullToNearest(attack, distance, place=place)


def noise(version: Version, eps: float, distance: Distance) -> Attack:
    """The best of some random signs."""
    return _asking(Signs, 1 + version.noise, eps, distance)


def square(version: Version, eps: float, distance: Distance) -> Attack:
    """Square on the average precision itself."""
    return _asking(Squares, version.square, eps, distance)


def _asking(proposals: type, queries: int, eps: float, distance: Distance) -> Attack:
    return QueryAttack(RankLoss(distance), Budget(eps=eps), proposals, cost=1, queries=queries)


def momentum(version: Version, eps: float, distance: Distance) -> Attack:
    """MI-FGSM, which transfers better than steps without momentum."""
    steps = version.transfer_steps
    step = max(from_levels(1), 2.5 * eps / steps)
    budget = Budget(eps=eps, step_size=step, steps=steps, momentum=1.0)
    return sign_attack(MetricDistance(distance), budget)


def oblivious(version: Version, eps: float, distance: Distance) -> Attack:
    """The attack on the undefended model: the better of push and margin."""
    return BestOf([push(version, eps, distance), margin(version, eps, distance)], distance)


_BATCH = 32
_MARGIN = 0.5
_SHARE = 10  # a step is a tenth of the bound
_DECAY = 0.01


def universal(
    model: ImageModel,
    data: ReIDData,
    eps: float,
    distance: Distance,
    *,
    epochs: int,
    path: Path,
    workers: int = 0,
) -> Fitted:
    """Return the perturbation of a file, learned now if the file does not exist.

    Away from the nearest and toward the furthest mean feature of a training identity, like
    UAP-Retrieval with identities instead of clusters (Li et al., 2019).

    Args:
        model: to attack.
        data: whose training images are used.
        eps: L-infinity bound, pixel units of [0, 1].
        distance: the metric that ranks.
        epochs: over the training images.
        path: of the file.
        workers: processes that read images.
    """
    if not path.is_file():
        train = extract(model, data.train, workers=workers, description="training features")
        _, centers = References(train).centers(distance, train.values)
        objective = CentroidTriplet(distance, centers, margin=_MARGIN)
        save_universal(path, _learned(model, data, eps, objective, epochs, workers))
    perturbation, _ = load_universal(path)
    return Fitted(perturbation, distance, about={"trained_on": data.name, "epochs": epochs})


def _learned(
    model: ImageModel,
    data: ReIDData,
    eps: float,
    objective: CentroidTriplet,
    epochs: int,
    workers: int,
) -> UniversalPerturbation:
    groups = chunks(data.train, _BATCH)
    first = next(iter(read_groups(groups[:1])))
    size = statistics.mode(image.shape[:2] for image in first)
    fit = UniversalFit(
        objective,
        UniversalPerturbation(eps, kind="delta", size=size),
        functools.partial(SignStep, lr=eps / _SHARE, momentum=1.0),
    )
    device = device_of(model)
    with prepared(model, _tensor([resized(first[0], size)]).to(device)) as ready:
        for epoch in range(epochs):
            label = f"universal perturbation, epoch {epoch + 1} of {epochs}"
            for images in read_groups(groups, workers=workers, description=label):
                same = [resized(image, size) for image in images]
                fit.fit_step(ready, Batch(_tensor(filled(same, _BATCH))).to(device))
            fit.end_epoch(_DECAY)
    return fit.perturbation.cpu()


def _tensor(images: list) -> Tensor:
    return torch.stack([to_tensor(image) for image in images])
