"""The relations that must hold within any result of the standard evaluation.

Each relation is a sentence and a test of parsed JSON. A test may raise any of :data:`FAILURES` on
unexpected values: a result whose relation cannot be tested is refused like one that breaks it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torchreid_adv.core.manifest import is_count, is_number
from torchreid_adv.standard.called import THREAT, headline, name_of, other_models, why_not
from torchreid_adv.standard.ensemble import BLACK_BOX
from torchreid_adv.standard.flags import AMBER, RED
from torchreid_adv.standard.rounds import AUDIT, members
from torchreid_adv.standard.scores import CLEAN, COMPOSED, RANKS
from torchreid_adv.standard.told import Place, Told, manifest_hash
from torchreid_adv.standard.versions import PLUS, STANDARD, TRACKS

ROUNDING = 1e-9  # between means of the same numbers in another order
FAILURES = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError)
_RANKS = [str(rank) for rank in RANKS]
_MOST = {"chunk": 1024, "draws": 100, "bootstrap": 20_000, "sample": 100_000}  # of a definition
_TABLE = {  # checks that compare attacks with each other: level and threshold
    "BB": (RED, 0.02),
    "NOISE": (RED, 0.0),
    "PERQ": (AMBER, 0.05),
    "AUDIT": (AMBER, 0.005),
}


def share(value: Any) -> bool:
    """Return whether a value from JSON is a number in [0, 1]."""
    return is_number(value) and 0 <= value <= 1


def _near(a: float, b: float) -> bool:
    return bool(abs(a - b) <= ROUNDING)


def _at_most(a: float, b: float) -> bool:
    return bool(a <= b + ROUNDING)


def _rising(values: Iterable[float]) -> bool:
    return all(_at_most(a, b) for a, b in itertools.pairwise(values))


def _ordered(names: Iterable[str], order: Iterable[str]) -> bool:
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
    return share(low) and share(high) and _at_most(low, value) and _at_most(value, high)


def _mean_of_draws(row: dict[str, Any]) -> bool:
    draws = row["draws"]
    return all(map(share, draws)) and _near(sum(draws) / len(draws), row["mAP"])


def _table_checks(told: Told) -> bool:
    """Return whether the checks that compare attacks are complete and consistent."""
    compared, expected = told.checks[len(told.given) :], []
    for track, eps, facts in told.places:
        if track == "Q" and not told.inspection.black_box:
            rivals = [name for name in BLACK_BOX if name in facts["attacks"]]
            names = ["BB"] * bool(rivals) + ["NOISE"] * ("noise" in facts["attacks"])
            names += ["PERQ"] * bool(rivals) + ["AUDIT"] * (AUDIT in facts["attacks"])
            expected += [(name, f"Q, eps {eps}") for name in names]
    fits = all((check.level, check.threshold) == _TABLE[check.name] for check in compared)
    fits &= all(
        check.raised == (check.value > check.threshold)
        for check in compared
        if check.name != "NOISE"
    )
    fits &= all(check.value >= 0 for check in compared if check.name == "NOISE" and check.raised)
    return fits and Counter(expected) == Counter((check.name, check.where) for check in compared)


def _flat(value: Any) -> list[Any]:
    """Return the numbers of a budget: a number, a list, or a list of pairs."""
    return [n for item in value for n in _flat(item)] if isinstance(value, tuple) else [value]


def _names(place: Place) -> list[str]:
    """Return the attacks of the version that was run, in order."""
    return [member.name for member in members(place.told.run)]


def _median_fits(told: Told) -> bool:
    """Return whether the median breaking bound is possible for the shares of Rank-1."""
    median, rank1 = told.content["curve"]["median_eps"], told.content["curve"]["rank1"]
    held = rank1["0"]
    lost = [int(eps) for eps, value in rank1.items() if held and value < held / 2 - ROUNDING]
    bounds = list(map(int, rank1))
    middles = {(a + b) / 2 for a in bounds for b in bounds}
    return (
        median is None
        if not held
        else median in {*middles, None}
        and (not lost or (median is not None and median <= min(lost)))
    )


def _sample_is_all(told: Told) -> bool:
    return bool(told.content["curve"]["queries"] == told.places[0][2]["queries"])


def _first(curve: dict[str, float]) -> list[float]:
    """Return the value at bound 0, if there is one."""
    return [curve["0"]] if "0" in curve else []


def _defense_fits(place: Place) -> bool:
    rows, model = place.facts["defense"], place.told.content["model"]
    expected = model["defense"] is not None and "oblivious" in place.attacks
    if not expected or rows is None:
        return rows is None and not expected
    draws = [min(row["draws"]) for row in place.attacks.values() if row["draws"]]
    shares = [rows[name] for name in ("undefended_clean", "undefended", "oblivious", "adaptive")]
    return (
        all(map(share, shares))
        and _at_most(rows["undefended"], rows["undefended_clean"])
        and _at_most(rows["adaptive"], rows["oblivious"])
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
        within = _at_most(least, taken + 1e-6) and _at_most(taken, run * row["before"] + 1e-6)
        whole = run < place.count or (_near(row["before"], left) and _at_most(after, row["mAP"]))
        if not (within and whole and _at_most(run * row["before"], place.count * left + 1e-6)):
            return False
    return True


def _ranks_fit(place: Place) -> bool:
    """Return whether no attack leaves fewer matches than all attacks together."""
    return all(
        _at_most(
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

RESULT_RELATIONS: tuple[Relation, ...] = (
    ("its threat model is the one of this evaluation", lambda t: t.content["threat"] == THREAT),
    (
        "every budget of its definition is an integer, 0 or more, that can be spent",
        lambda t: all(
            is_count(value) and value <= _MOST.get(name, value)
            for name, values in vars(t.run).items()
            if name != "name"
            for value in _flat(values)
        ),
    ),
    (
        "only 'standard' is run with the budgets of 'plus', where CONV is raised",
        lambda t: (
            t.run == PLUS and any(flag.name == "CONV" for flag in t.flags)
            if t.content["standard"]["escalated"] == PLUS.name
            else t.content["standard"]["escalated"] == ""
            and not (t.run == STANDARD and any(flag.name == "CONV" for flag in t.flags))
        ),
    ),
    (
        "its name is that of its definition",
        lambda t: t.content["standard"]["name"] == name_of(t.asked, t.inspection.black_box),
    ),
    (
        "its headline is that of its model",
        lambda t: t.content["standard"]["headline"] == headline(t.inspection.black_box),
    ),
    (
        "the model has parameters, or is a black box",
        lambda t: (t.content["model"]["parameters"] is None) == bool(t.inspection.black_box),
    ),
    (
        "its checks follow from its measurements",
        lambda t: t.checks[: len(t.given)] == t.given and _table_checks(t),
    ),
    (
        "its flags are the checks that are raised",
        lambda t: t.content["flags"] == [flag.to_dict() for flag in t.flags],
    ),
    (
        "it calls itself standard only as its flags, surrogates, tracks and budgets allow",
        lambda t: t.content["standard"]["reasons"]
        == why_not(
            t.asked,
            other_models(t.content["surrogates"], t.content["model"]),
            t.flags,
            t.inspection.black_box,
            t.content["tracks"],
            t.content["protocol"]["ap_rule"],
        )
        and t.content["standard"]["called_standard"] == (not t.content["standard"]["reasons"]),
    ),
    (
        "transferred attacks were made if and only if there are surrogates",
        lambda t: bool(t.content["surrogates"])
        or not any("transfer" in Place(t, *place).attacks for place in t.places),
    ),
    ("its tracks are Q and G, in this order", lambda t: _ordered(t.content["tracks"], TRACKS)),
    (
        "each track has the bounds of the definition",
        lambda t: all(
            list(bounds) == [str(eps) for eps in t.run.eps]
            for bounds in t.content["tracks"].values()
        ),
    ),
    (
        "its manifest hash is that of its tracks' manifests",
        lambda t: t.content["manifest"] == manifest_hash(t.content["tracks"]),
    ),
    (
        "all tracks have the same clean measures, queries and skipped queries",
        lambda t: all(
            [facts[name] for name in ("clean", "queries", "skipped")]
            == [t.places[0][2][name] for name in ("clean", "queries", "skipped")]
            for *_, facts in t.places
        )
        and _near(t.inspection.clean, t.clean["mAP"]),
    ),
    (
        "its measurements of the model are in their ranges",
        lambda t: t.inspection.repeats >= 0
        and t.inspection.alone >= 0
        and -1 - 1e-6 <= t.inspection.cosine <= 1 + 1e-6,
    ),
    (
        "attacks average over draws, or leave a defense undeclared, only where there is a defense",
        lambda t: t.content["model"]["defense"] is not None
        or (not t.inspection.averaged and t.inspection.declared),
    ),
    (
        "its curve has the bounds of the definition, and shares",
        lambda t: all(
            list(t.content["curve"][name])
            == (["0"] if t.inspection.black_box else [str(bound) for bound in t.run.curve])
            and all(map(share, t.content["curve"][name].values()))
            for name in ("curve", "rank1")
        ),
    ),
    (
        "no bound of the curve leaves more than no attack at all",
        lambda t: all(
            _at_most(value, t.content["curve"][name]["0"])
            for name in ("curve", "rank1")
            for value in t.content["curve"][name].values()
        )
        if "0" in t.content["curve"]["curve"]
        else True,
    ),
    (
        "the sample of the curve is as large as the definition says",
        lambda t: t.content["curve"]["queries"] == min(t.run.sample, t.places[0][2]["queries"]),
    ),
    (
        "the curve begins at the clean measures and at chance, where its sample is all queries",
        lambda t: not _sample_is_all(t)
        or (
            all(_near(v, t.clean["mAP"]) for v in _first(t.content["curve"]["curve"]))
            and all(_near(v, t.clean["cmc"]["1"]) for v in _first(t.content["curve"]["rank1"]))
            and _near(t.content["curve"]["chance"], t.inspection.chance)
        ),
    ),
    (
        "the median breaking bound is one of the curve's",
        lambda t: "0" not in t.content["curve"]["rank1"] or _median_fits(t),
    ),
    (
        "the trials at the first main bound are those of the curve",
        lambda t: bool(t.inspection.black_box)
        or (
            all(
                share(t.content["curve"][name])
                for name in ("single", "iterative", "doubled", "converged", "moving", "chance")
            )
            and is_count(t.content["curve"]["silent"])
            and t.content["curve"]["converged"]
            == t.content["curve"]["curve"].get(str(t.run.eps[0]), t.content["curve"]["converged"])
            and _at_most(t.content["curve"]["converged"], t.content["curve"]["iterative"])
        ),
    ),
)  # fmt: skip

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
    ("its attacks are some of the ensemble's", lambda p: _ordered(p.attacks, _names(p))),
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
        lambda p: _ordered(p.attacks, [*_names(p), COMPOSED]) and COMPOSED in p.attacks,
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


def broken(content: dict[str, Any]) -> Iterator[str]:
    """Yield the relations that do not hold in a result, as sentences.

    Args:
        content: parsed JSON, whose fields have the right kinds.
    """
    told = Told(content)
    yield from _broken(RESULT_RELATIONS, told, "")
    for track, eps, facts in told.places:
        further = QUERY_RELATIONS if track == "Q" else GALLERY_RELATIONS
        place = Place(told, track, eps, facts)
        yield from _broken(PLACE_RELATIONS + further, place, f"track {track}, eps {eps}: ")


def _broken(relations: Iterable[Relation], subject: Any, where: str) -> Iterator[str]:
    for sentence, test in relations:
        try:
            holds = test(subject)
        except FAILURES:
            holds = False
        if not holds:
            yield f"it does not hold that {where}{sentence}"
