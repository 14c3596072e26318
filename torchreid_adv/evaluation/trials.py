"""Evaluation by a protocol of drawn galleries: the mean over them."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.errors import DataError
from torchreid_adv.evaluation.matches import Ints
from torchreid_adv.evaluation.precision import check_ap_rule, match_curve, scores
from torchreid_adv.evaluation.protocols import Protocol
from torchreid_adv.evaluation.results import REPORTED_RANKS, RetrievalResult
from torchreid_adv.models.features import Features

_ROWS = 256  # queries whose distances are held at a time


def evaluate_trials(
    query: Features,
    gallery: Features,
    protocol: Protocol,
    *,
    distance: Distance | None = None,
    ap_rule: str = "standard",
    max_rank: int = 50,
) -> RetrievalResult:
    """Rank each drawn gallery for each query; a query counts once for each gallery.

    Equally near images rank in the order of the gallery. A query without a match in a gallery is
    skipped there.

    Args:
        query: features of Q queries.
        gallery: features of all images that galleries are drawn of, in the set's own order, on
            which the draws depend.
        protocol: the rules.
        distance: how far two features are apart; Euclidean when None.
        ap_rule: as of :func:`torchreid_adv.evaluation.evaluate_matrix`.
        max_rank: length of the match curve; at least 20 ranks are computed.

    Returns:
        scores of Q x galleries, gallery after gallery; names have ``#<gallery>`` behind them where
        there are several.

    Raises:
        ConfigError: unknown ap_rule.
        DataError: no query has a match in any gallery.
    """
    check_ap_rule(ap_rule)
    distance = distance or build_distance("euclidean")
    labels = {
        "pids": (query.pids.numpy(), gallery.pids.numpy()),
        "camids": (query.camids.numpy(), gallery.camids.numpy()),
    }
    drawn = [
        drawn_gallery(labels["pids"][1], labels["camids"][1], protocol, seed=trial)
        for trial in range(protocol.galleries)
    ]
    found: list[list[tuple[Ints, int]]] = [[] for _ in drawn]
    for start in range(0, len(query), _ROWS):
        rows = slice(start, min(start + _ROWS, len(query)))
        block = distance(query.values[rows], gallery.values).cpu().numpy()
        for trial, columns in enumerate(drawn):
            found[trial] += _ranked(block[:, columns], rows, columns, labels, protocol)
    return _result([row for rows in found for row in rows], query, protocol, ap_rule, max_rank)


def drawn_gallery(pids: Ints, camids: Ints, protocol: Protocol, *, seed: int) -> Ints:
    """Return the columns of a gallery, in their order.

    Draws are those of Python's generator seeded by the gallery's number, identity after identity
    and camera after camera in the order of the set, as the released code of SYSU-MM01's and LLCM's
    protocols makes them.
    """
    if not protocol.shots:
        return np.arange(len(pids))
    groups: dict[tuple[int, int], list[int]] = {}
    for column, key in enumerate(zip(pids.tolist(), camids.tolist(), strict=True)):
        groups.setdefault(key, []).append(column)
    generator = random.Random(seed)
    chosen: list[int] = []
    for columns in groups.values():
        if protocol.shots == 1:
            chosen.append(generator.choice(columns))
        else:
            chosen += sorted(generator.sample(columns, min(protocol.shots, len(columns))))
    return np.array(sorted(chosen))


def _ranked(
    block: NDArray[np.float32],
    rows: slice,
    columns: Ints,
    labels: dict[str, tuple[Ints, Ints]],
    protocol: Protocol,
) -> list[tuple[Ints, int]]:
    """Return for each query the ranks of its matches, and that of its identity (-1 for none)."""
    pids, camids = (labels[name][1][columns] for name in ("pids", "camids"))
    ranked = []
    for distances, pid, camid in zip(
        block, labels["pids"][0][rows], labels["camids"][0][rows], strict=True
    ):
        keep = np.ones(len(columns), bool)
        for place in protocol.same_place:
            if camid == place[0]:
                keep &= camids != place[1]
        if protocol.same_camera:
            keep &= (pids != pid) | (camids != camid)
        order = np.argsort(distances[keep], kind="stable")
        people = pids[keep][order]
        matches = np.flatnonzero(people == pid)
        first = len(np.unique(people[: matches[0]])) if len(matches) else -1
        ranked.append((matches.astype(np.int64), first))
    return ranked


def _result(
    ranked: list[tuple[Ints, int]],
    query: Features,
    protocol: Protocol,
    ap_rule: str,
    max_rank: int,
) -> RetrievalResult:
    starts = np.cumsum([0, *(len(matches) for matches, _ in ranked)]).astype(np.int64)
    ranks = np.concatenate([matches for matches, _ in ranked])
    if not len(ranks):
        raise DataError(
            "no query identity appears in a gallery by the rules of the protocol; are query and "
            "gallery of the same data set?"
        )
    precision, first, penalty = scores(ranks, starts, ap_rule=ap_rule)
    valid = first >= 0
    counted = np.array([identity for _, identity in ranked]) if protocol.per_identity else first
    several = protocol.galleries > 1
    names = [
        f"{name}#{trial}" if several else name
        for trial in range(protocol.galleries)
        for name in query.image_ids
    ]
    return RetrievalResult(
        tuple(names),
        np.tile(query.pids.numpy(), protocol.galleries),
        precision,
        first,
        penalty,
        valid,
        match_curve(counted[valid], max(max_rank, *REPORTED_RANKS)),
        ap_rule,
    )
