"""The relations that must hold within any result of the standard evaluation.

Each relation is a sentence and a test of parsed JSON. A test may raise any of :data:`FAILURES` on
unexpected values: a result whose relation cannot be tested is refused like one that breaks it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from torchreid_adv.core.manifest import is_count
from torchreid_adv.standard.called import THREAT, headline, name_of, other_models, why_not
from torchreid_adv.standard.ensemble import BLACK_BOX
from torchreid_adv.standard.flags import AMBER, RED
from torchreid_adv.standard.place_relations import (
    GALLERY_RELATIONS,
    PLACE_RELATIONS,
    QUERY_RELATIONS,
    ROUNDING,
    Relation,
    at_most,
    near,
    ordered,
    share,
)
from torchreid_adv.standard.rounds import AUDIT
from torchreid_adv.standard.told import Place, Told, manifest_hash
from torchreid_adv.standard.versions import PLUS, STANDARD, TRACKS

FAILURES = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError)
_MOST = {"chunk": 1024, "draws": 100, "bootstrap": 20_000, "sample": 100_000}  # of a definition
_TABLE = {  # checks that compare attacks with each other: level and threshold
    "BB": (RED, 0.02),
    "NOISE": (RED, 0.0),
    "PERQ": (AMBER, 0.05),
    "AUDIT": (AMBER, 0.005),
}


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
    ("its tracks are Q and G, in this order", lambda t: ordered(t.content["tracks"], TRACKS)),
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
        and near(t.inspection.clean, t.clean["mAP"]),
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
            at_most(value, t.content["curve"][name]["0"])
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
            all(near(v, t.clean["mAP"]) for v in _first(t.content["curve"]["curve"]))
            and all(near(v, t.clean["cmc"]["1"]) for v in _first(t.content["curve"]["rank1"]))
            and near(t.content["curve"]["chance"], t.inspection.chance)
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
            and at_most(t.content["curve"]["converged"], t.content["curve"]["iterative"])
        ),
    ),
)  # fmt: skip


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
