"""Version 2 of the ensemble: white-box attacks in rounds; each query's best ones continue.

All white-box attacks run a few steps on every query. Those that leave a query the lowest average
precision, as stored, run again with more steps, and the best of these with the most steps. Each
run starts from scratch with its own schedule, so a stored image depends only on the image and the
attack. No query is skipped because an earlier attack brought it near chance: it may fall further,
and robust mAP counts every point. A share of the queries also gets the whole ensemble of version
1; the difference is a flag.

Based on the rounds of Adaptive Auto Attack (Liu et al., Practical Evaluation of Adversarial
Robustness via Adaptive Auto Attack, CVPR 2022). That method attacks first the images that are
easiest to break. This one instead selects attacks for each query, because a ranking has no single
breaking point.
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
_PULLS = 3  # nearest incorrect identities in rounds; the audit pulls to all of the version
_LEAST_SQUARE = 64  # at least this many queries for Square: a flag compares them
_LEAST_AUDITED = 8


ARMS: dict[str, tuple[str, Builder]] = {  # name -> the attacker's knowledge, builder
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
    """Return the attacks of a version in order.

    Args:
        version: with or without rounds.
        identities: number in the data set, which limits the pulls; None = many.
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
    return next(candidate for candidate in members(version) if candidate.name == name)


def white_box(names: Sequence[str]) -> list[str]:
    """Return the names of attacks that use the model's gradient, in either version."""
    known = {*WHITE_BOX, *ARMS, AUDIT}
    return [name for name in names if name.partition("-")[0] in known]


def build(
    version: Version, name: str, eps: float, distance: Distance, identities: int
) -> Attack | None:
    """Build an attack of a version with rounds; None for an attack that both versions share.

    Args:
        version: of the run.
        name: of the member.
        eps: bound, pixel units of [0, 1].
        distance: the metric that ranks.
        identities: number on the other side, which limits the pulls.
    """
    if name == AUDIT:
        whole = [builder(version, eps, distance) for builder in _WHOLE]
        return BestOf([*whole, ensemble.pull(version, eps, distance, identities)], distance)
    round_member = member(version, name)
    if not round_member.arm:
        return None
    short = dataclasses.replace(
        version, steps=round_member.steps, self_steps=round_member.steps, restarts=1
    )
    return ARMS[round_member.arm][1](short, eps, distance)


_WHOLE: tuple[Builder, ...] = (ensemble.push, ensemble.margin, ensemble.self_reference)


def rows_of_round(
    version: Version, round_member: Member, left: Mapping[str, Floats], count: int
) -> Mask:
    """Return the rows (queries or identities) that an attack of a round is run on.

    Args:
        version: of the run.
        round_member: the attack.
        left: attack of an earlier round -> remaining precision (count,); NaN = it was not run.
        count: number of rows.
    """
    survivors = version.rounds[round_member.round][1]
    if not round_member.round or not survivors:
        return np.ones(count, dtype=bool)
    before = version.rounds[round_member.round - 1][0]
    arms = [arm for arm in ARMS if f"{arm}-{before}" in left]
    values = np.stack([np.nan_to_num(left[f"{arm}-{before}"], nan=np.inf) for arm in arms])
    order = np.argsort(values, axis=0, kind="stable")[:survivors]
    if round_member.arm not in arms:
        return np.zeros(count, dtype=bool)
    place = arms.index(round_member.arm)
    return np.asarray((order == place).any(0) & np.isfinite(values[place]))


def most_robust(worst: Floats, limit: Floats) -> Mask:
    """Return the queries that Square is run on: the half with the most remaining precision.

    Args:
        worst: (Q,) lowest average precision so far; NaN for a query without a match.
        limit: (Q,) a query at or below it is broken.

    Returns:
        (Q,) the more robust half of the unbroken queries, at least the 64 most robust queries.
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
    """Return the queries that get the whole ensemble: a share by the hash of their files.

    Args:
        version: sets the share, in percent.
        records: the Q queries.
        valid: (Q,) the queries that have a match.

    Returns:
        (Q,), at least 8 queries if there are that many.
    """
    rows = np.flatnonzero(valid).tolist()
    digests = Contents().of([records[row].path for row in rows])
    hashes = sorted(zip(digests, rows, strict=True))
    count = max(_LEAST_AUDITED, round(len(rows) * version.audit / 100))
    audited_rows = np.zeros(len(records), dtype=bool)
    audited_rows[[row for _, row in hashes[:count]]] = True
    return audited_rows
