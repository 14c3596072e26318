"""The relations that must hold for one track at one bound of a result.

Each relation is a sentence and a test of :class:`Place`, see :mod:`.relations`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from torchreid_adv.core.manifest import is_count, is_number
from torchreid_adv.standard.rounds import members
from torchreid_adv.standard.scores import CLEAN, COMPOSED, RANKS
from torchreid_adv.standard.told import Place

ROUNDING = 1e-9  # between means of the same numbers in another order
_RANKS = [str(rank) for rank in RANKS]


def share(value: Any) -> bool:
    """Return whether a value from JSON is a number in [0, 1]."""
    return is_number(value) and 0 <= value <= 1


def near(a: float, b: float) -> bool:
    """Return whether two means of the same numbers agree, up to rounding."""
    return bool(abs(a - b) <= ROUNDING)


def at_most(a: float, b: float) -> bool:
    """Return whether a mean is at most another one, up to rounding."""
    return bool(a <= b + ROUNDING)


def _rising(values: Iterable[float]) -> bool:
    return all(at_most(a, b) for a, b in itertools.pairwise(values))


def ordered(names: Iterable[str], order: Iterable[str]) -> bool:
    """Return whether names are a subsequence of an order."""
    present = set(names)
    return list(names) == [name for name in order if name in present]


def _curve_of(measures: dict[str, Any]) -> bool:
    cmc = measures["cmc"]
    shares = [cmc[rank] for rank in _RANKS]
    return list(cmc) == _RANKS and all(map(share, shares)) and _rising(shares)


def _whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6


def _in(interval: list[float], value: float) -> bool:
    low, high = interval
    return share(low) and share(high) and at_most(low, value) and at_most(value, high)


def _mean_of_draws(row: dict[str, Any]) -> bool:
    draws = row["draws"]
    return all(map(share, draws)) and near(sum(draws) / len(draws), row["mAP"])


def _names(place: Place) -> list[str]:
    """Return the attacks of the version that was run, in order."""
    return [member.name for member in members(place.told.run)]


def _defense_fits(place: Place) -> bool:
    rows, model = place.facts["defense"], place.told.content["model"]
    expected = model["defense"] is not None and "oblivious" in place.attacks
    if not expected or rows is None:
        return rows is None and not expected
    draws = [min(row["draws"]) for row in place.attacks.values() if row["draws"]]
    shares = [rows[name] for name in ("undefended_clean", "undefended", "oblivious", "adaptive")]
    return (
        all(map(share, shares))
        and at_most(rows["undefended"], rows["undefended_clean"])
        and at_most(rows["adaptive"], rows["oblivious"])
        and rows["adaptive"] == place.robust["mAP"]
        and rows["worst_draw"] == min(draws, default=None)
    )


def _wins_fit(place: Place) -> bool:
    wins, attacks = place.facts["wins"], place.attacks
    pairs = list(itertools.combinations(attacks, 2))
    return (
        list(wins) == list(attacks)
        and all(set(wins[a]) == set(attacks) - {a} for a in attacks)
        and all(is_count(count) for row in wins.values() for count in row.values())
        and all(
            wins[a][b] + wins[b][a] <= min(attacks[a]["queries"], attacks[b]["queries"])
            for a, b in pairs
        )
    )


def _steps_fit(place: Place) -> bool:
    """Return whether each attack lowers the remaining mAP by its own numbers."""
    for left, (after, row) in zip(
        place.chain, zip(place.chain[1:], place.attacks.values(), strict=True), strict=False
    ):
        run, taken = row["queries"], place.count * (left - after)
        least = run * (row["before"] - row["mAP"])
        within = at_most(least, taken + 1e-6) and at_most(taken, run * row["before"] + 1e-6)
        whole = run < place.count or (near(row["before"], left) and at_most(after, row["mAP"]))
        if not (within and whole and at_most(run * row["before"], place.count * left + 1e-6)):
            return False
    return True


def _ranks_fit(place: Place) -> bool:
    """Return whether no attack leaves fewer matches than all attacks together."""
    return all(
        at_most(
            place.count * place.robust["cmc"][rank],
            row["queries"] * row["cmc"][rank] + place.count - row["queries"] + 1e-6,
        )
        for row in place.attacks.values()
        for rank in _RANKS
    )


def _counts_fit(place: Place) -> bool:
    """Return whether shares of Rank-k are possible for this number of queries and draws."""
    draws = max((len(row["draws"]) for row in place.attacks.values()), default=1)
    rows = [(place.count, place.clean), (place.count, place.robust)]
    rows += [(row.get("queries", place.count), row) for row in place.attacks.values()]
    return all(_whole(n * draws * row["cmc"][rank]) for n, row in rows for rank in _RANKS)


Relation = tuple[str, Callable[[Any], bool]]

PLACE_RELATIONS: tuple[Relation, ...] = (
    (
        "mAP and Rank-k are shares, and Rank-k does not fall with k",
        lambda p: all(
            _curve_of(row) and share(row["mAP"])
            for row in (p.clean, p.robust, *p.attacks.values())
        ),
    ),
    ("robust mAP is not above the clean one", lambda p: p.robust["mAP"] <= p.clean["mAP"]),
    (
        "robust Rank-k is not above the clean one",
        lambda p: all(p.robust["cmc"][rank] <= p.clean["cmc"][rank] for rank in _RANKS),
    ),
    ("its interval contains robust mAP", lambda p: _in(p.facts["interval"], p.robust["mAP"])),
    (
        "its interval of Rank-1 contains robust Rank-1",
        lambda p: _in(p.facts["rank1_interval"], p.robust["cmc"]["1"]),
    ),
    (
        "map_ratio is robust mAP over clean mAP",
        lambda p: p.facts["map_ratio"]
        == (p.robust["mAP"] / p.clean["mAP"] if p.clean["mAP"] else None),
    ),
    (
        "scored and skipped queries are all queries of the data set",
        lambda p: p.count > 0
        and is_count(p.facts["queries"])
        and is_count(p.facts["skipped"])
        and p.count + p.facts["skipped"] == p.told.content["data"]["query"],
    ),
    ("Rank-k is a share of the queries that are scored", _counts_fit),
    ("the mAP of each attack is the mean over its draws", lambda p: all(
        map(_mean_of_draws, p.attacks.values()))),
)  # fmt: skip

QUERY_RELATIONS: tuple[Relation, ...] = (
    ("its attacks are some of the ensemble's", lambda p: ordered(p.attacks, _names(p))),
    (
        "its attacks count queries, and what they leave are shares",
        lambda p: (
            all(
                is_count(row["queries"])
                and 0 < row["queries"] <= p.count
                and is_count(row["won"])
                and row["won"] <= row["queries"]
                and share(row["before"])
                and share(row["left"])
                for row in p.attacks.values()
            )
            and sum(row["won"] for row in p.attacks.values()) <= p.count
        ),
    ),
    ("attacks never leave more than was left before", lambda p: _rising(p.chain[::-1])),
    ("robust mAP is what all attacks leave", lambda p: p.chain[-1] == p.robust["mAP"]),
    ("each attack lowers robust mAP by its own numbers", _steps_fit),
    ("no attack leaves fewer matches than all attacks together", _ranks_fit),
    (
        "the best attack is the one that is worst for most queries",
        lambda p: (
            p.facts["best_attack"]
            == max(p.attacks, key=lambda name: p.attacks[name]["won"], default=CLEAN)
        ),
    ),
    ("the pairwise comparison of attacks is consistent", _wins_fit),
    ("undefended, oblivious and adaptive mAP are consistent", _defense_fits),
)

GALLERY_RELATIONS: tuple[Relation, ...] = (
    (
        "its galleries are those of the ensemble and the composed one",
        lambda p: ordered(p.attacks, [*_names(p), COMPOSED]) and COMPOSED in p.attacks,
    ),
    (
        "robust mAP is that of the gallery with the lowest mAP",
        lambda p: (
            p.robust["mAP"]
            == p.worst_gallery["mAP"]
            == min(row["mAP"] for row in (p.clean, *p.attacks.values()))
        ),
    ),
    (
        "robust Rank-k is that of its gallery, or the clean one where that is lower",
        lambda p: all(
            p.robust["cmc"][rank] == min(p.worst_gallery["cmc"][rank], p.clean["cmc"][rank])
            for rank in _RANKS
        ),
    ),
    (
        "identities are composed of attacks that were run",
        lambda p: (
            set(p.facts["identities"]) <= {CLEAN, *p.attacks} - {COMPOSED}
            and all(is_count(count) and count for count in p.facts["identities"].values())
            and 0 < sum(p.facts["identities"].values()) <= p.count
        ),
    ),
    (
        "all bounds have as many identities",
        lambda p: (
            sum(p.facts["identities"].values())
            == sum(next(iter(p.told.content["tracks"]["G"].values()))["identities"].values())
        ),
    ),
    (
        "the share of attacked gallery images fits the data set",
        lambda p: (
            share(p.facts["attacked"])
            and _whole(p.facts["attacked"] * p.told.content["data"]["gallery"])
        ),
    ),
)
