"""Version 2 of the ensemble: white-box attacks in rounds, the best of each query go on.

All white-box attacks run a few steps on every query. Those that leave a query the lowest average
precision, as stored, run again with more steps, and the best of them with most. Each run starts
anew with a schedule of its own, so that a stored image depends on the image and the attack alone.
No query is skipped because an earlier attack brought it near chance: it may fall further, and the
robust mAP counts every point of it. A share of the queries gets the whole ensemble of version 1
beside the rounds; the difference is a flag.

After the rounds of Adaptive Auto Attack (Liu et al., Practical Evaluation of Adversarial Robustness
via Adaptive Auto Attack, CVPR 2022). There, points near to falling go first. Here it is the attack
that is chosen, for each query, because a ranking has no single point of falling.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.attacks import Attack
from torchreid_adv.attacks.combined import BestOf
from torchreid_adv.core.contents import Contents
from torchreid_adv.data.datasets import Record
from torchreid_adv.distances import Distance
from torchreid_adv.standard import ensemble
from torchreid_adv.standard.ensemble import MEMBERS, WHITE_BOX, Member
from torchreid_adv.standard.versions import Version

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Builder = Callable[[Version, float, Distance], Attack]

AUDIT = "audit"
_PULLS = 3  # nearest wrong identities in rounds; the audit pulls to all of the version
_LEAST_SQUARE = 64  # queries that Square is run on at least: a flag compares them
_LEAST_AUDITED = 8


ARMS: dict[str, tuple[str, Builder]] = {  # name -> what the attacker knows, how it is built
    "push": ("full", ensemble.push),
    "margin": ("full", ensemble.margin),
    "self": ("self", ensemble.away_from_itself),
    "opposite": ("self", ensemble.opposite),
    "gray": ("self", ensemble.local_grayscale),
    **{
        f"pull{place + 1}": ("full", functools.partial(ensemble.pull_to, place=place))
        for place in range(_PULLS)
    },
}


def members(version: Version, identities: int | None = None) -> list[Member]:
    """Return the attacks of a version in their order.

    Args:
        version: with or without rounds.
        identities: of the data set, which limit the pulls; None = many.
    """
    if not version.rounds:
        return list(MEMBERS)
    limit = _PULLS if identities is None else max(1, identities - 1)
    arms = [arm for arm in ARMS if not arm.startswith("pull") or int(arm[4:]) <= limit]
    rounds = [
        Member(f"{arm}-{steps}", ARMS[arm][0], arm=arm, round=number, steps=steps)
        for number, (steps, _) in enumerate(version.rounds)
        for arm in arms
    ]
    others = [member for member in MEMBERS if member.name not in WHITE_BOX]
    return [*rounds, *others, *[Member(AUDIT, "full")] * bool(version.audit)]


def member(version: Version, name: str) -> Member:
    """Return an attack of a version by its name."""
    return next(one for one in members(version) if one.name == name)


def white_box(names: Sequence[str]) -> list[str]:
    """Return which names are attacks that see the model's gradient, of either version."""
    known = {*WHITE_BOX, *ARMS, AUDIT}
    return [name for name in names if name.partition("-")[0] in known]


def build(
    version: Version, name: str, eps: float, distance: Distance, identities: int
) -> Attack | None:
    """Build an attack of a version with rounds; None for one that both versions have.

    Args:
        version: of the run.
        name: of the member.
        eps: bound, pixel units of [0, 1].
        distance: the metric that ranks.
        identities: of the other side, which limit the pulls.
    """
    if name == AUDIT:
        whole = [builder(version, eps, distance) for builder in _WHOLE]
        return BestOf([*whole, ensemble.pull(version, eps, distance, identities)], distance)
    one = member(version, name)
    if not one.arm:
        return None
    short = dataclasses.replace(version, steps=one.steps, self_steps=one.steps, restarts=1)
    return ARMS[one.arm][1](short, eps, distance)


_WHOLE: tuple[Builder, ...] = (ensemble.push, ensemble.margin, ensemble.self_reference)


def going_on(version: Version, one: Member, left: Mapping[str, Floats], count: int) -> Mask:
    """Tell for which of some rows (queries or identities) an attack of a round is run.

    Args:
        version: of the run.
        one: the attack.
        left: what each attack of the rounds before left, name -> (count,); NaN = it was not run.
        count: rows.
    """
    kept = version.rounds[one.round][1]
    if not one.round or not kept:
        return np.ones(count, dtype=bool)
    before = version.rounds[one.round - 1][0]
    arms = [arm for arm in ARMS if f"{arm}-{before}" in left]
    values = np.stack([np.nan_to_num(left[f"{arm}-{before}"], nan=np.inf) for arm in arms])
    order = np.argsort(values, axis=0, kind="stable")[:kept]
    if one.arm not in arms:
        return np.zeros(count, dtype=bool)
    place = arms.index(one.arm)
    return np.asarray((order == place).any(0) & np.isfinite(values[place]))


def most_robust(worst: Floats, limit: Floats) -> Mask:
    """Tell which queries Square is run on: the upper half by what is left, above chance.

    Args:
        worst: (Q,) lowest average precision so far; NaN for a query without a match.
        limit: (Q,) at or below which a query is broken.

    Returns:
        (Q,) those, and the 64 that have most left where they are fewer.
    """
    values = np.nan_to_num(worst, nan=-1.0)
    order = np.argsort(-values, kind="stable")
    held = int((values >= 0).sum())
    upper, least = (np.zeros(len(values), dtype=bool) for _ in range(2))
    upper[order[: (held + 1) // 2]] = True
    least[order[: min(_LEAST_SQUARE, held)]] = True
    upper &= values > np.nan_to_num(limit, nan=2.0)
    return upper if upper.sum() >= _LEAST_SQUARE else upper | least


def audited(version: Version, records: Sequence[Record], valid: Mask) -> Mask:
    """Tell which queries get the whole ensemble: a share by the hash of their files.

    Args:
        version: says the share, percent.
        records: the Q queries.
        valid: (Q,) those that have a match.

    Returns:
        (Q,), 8 of them at least where there are as many.
    """
    rows = np.flatnonzero(valid).tolist()
    digests = Contents().of([records[row].path for row in rows])
    hashes = sorted(zip(digests, rows, strict=True))
    count = max(_LEAST_AUDITED, round(len(rows) * version.audit / 100))
    found = np.zeros(len(records), dtype=bool)
    found[[row for _, row in hashes[:count]]] = True
    return found
