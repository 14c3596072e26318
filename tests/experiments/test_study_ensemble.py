"""The study of the ensemble: policies by hand on small records, and the study in a toy form."""

import itertools
import json

import numpy as np
import pytest
import toys

from torchreid_adv.experiments.claims import Claim
from torchreid_adv.experiments.ensemble_policies import (
    ROUNDS,
    SKIP,
    WHOLE,
    budgeted,
    in_rounds,
    policies,
    skipping,
    stopping,
    together,
)
from torchreid_adv.experiments.ensemble_record import LONGEST, SCHEDULES, STEPS, EnsembleRecord
from torchreid_adv.experiments.studies import ensemble
from torchreid_adv.standard.passes import Passes

PLACES = [(planned, steps) for planned in SCHEDULES for steps in STEPS if steps <= planned]


def record_of(curves, clean=(0.8, 0.6), chance=(0.1, 0.1)):
    """A record whose attacks follow curves: attack -> (steps -> AP of each query)."""
    ap = {
        attack: {place: np.array(curve(place[1]), dtype=float) for place in PLACES}
        for attack, curve in curves.items()
    }
    passes = {
        attack: {place: Passes(place[1] + 1, place[1]) for place in PLACES} for attack in curves
    }
    return EnsembleRecord(np.arange(len(clean)), np.array(clean), np.array(chance), ap, passes)


def drawn(seed):
    """A record of falling curves of six attacks on nine queries, one of them without a match."""
    draws = np.random.default_rng(seed)
    clean = draws.uniform(0.3, 0.9, 9)
    clean[4] = np.nan
    depth, speed = draws.uniform(0.2, 1, (6, 9)), draws.uniform(0.02, 1, (6, 9))
    curves = {
        f"pull{row}": lambda steps, row=row: (
            clean * (1 - depth[row] * (1 - np.exp(-speed[row] * steps)))
        )
        for row in range(6)
    }
    return record_of(curves, clean, np.full(9, 0.05))


EARLY = lambda steps: (0.5, 0.5)  # noqa: E731
LATE = lambda steps: (0.8 - 0.014 * steps, 0.6)  # noqa: E731


def test_attacks_together_leave_the_lowest_and_cost_all():
    replay = together(record_of({"early": EARLY, "late": LATE}), steps=10)
    assert replay.worst == pytest.approx([0.5, 0.5])
    assert replay.passes.tolist() == [2 * 21 + 2] * 2
    whole = together(record_of({"early": EARLY, "late": LATE}))
    assert whole.worst == pytest.approx([0.1, 0.5])


def test_a_query_at_twice_chance_is_skipped():
    curves = {"first": lambda steps: (0.2, 0.5), "second": lambda steps: (0.0, 0.4)}
    replay = skipping(record_of(curves))
    assert replay.worst == pytest.approx([0.2, 0.4])
    assert replay.passes.tolist() == [102, 204]
    assert skipping(record_of(curves), attacks=["second", "first"]).worst.tolist() == [0.0, 0.4]


def test_an_attack_stops_when_it_no_longer_helps():
    replay = stopping(record_of({"late": LATE}), fall=0.0)
    assert replay.worst == pytest.approx([0.1, 0.6])
    assert replay.passes[0] > replay.passes[1] > 0


def test_rounds_keep_the_best_of_each_query_and_start_over():
    rounds = ((10, 0), (25, 1), (50, 1))
    record = record_of({"early": EARLY, "late": LATE})
    replay = in_rounds(record, rounds=rounds)
    assert replay.worst == pytest.approx([0.5, 0.5])  # the later one is not among the best at 10
    assert replay.passes.tolist() == [2 * 22 + 52 + 102] * 2
    resumed = in_rounds(record, rounds=rounds, restart=False)
    assert resumed.passes.tolist() == [2 * 22 + 31 + 51] * 2


def test_a_budget_goes_where_the_fall_is_largest():
    replay = budgeted(record_of({"early": EARLY, "late": LATE}), share=0.5)
    assert replay.worst == pytest.approx([0.1, 0.5])
    assert replay.passes[0] > replay.passes[1]


@pytest.mark.parametrize("seed", range(5))
def test_no_policy_leaves_less_than_the_whole_ensemble_or_has_seen_what_it_did_not_pay(seed):
    record = drawn(seed)
    replays = {name: policy(record) for name, policy in policies(record.ap).items()}
    whole, valid = replays[WHOLE], record.valid
    lowest = np.fmin.reduce([record.clean, *(v for c in record.ap.values() for v in c.values())])
    for name, replay in replays.items():
        assert np.isnan(replay.worst[~valid]).all()
        assert (replay.worst[valid] >= lowest[valid] - 1e-12).all(), name
        assert (replay.passes[valid] <= 1.3 * whole.passes[valid]).all(), name
        assert not replay.passes[~valid].any()
    assert replays[ROUNDS].spent(valid) < 0.6 * whole.spent(valid)
    assert replays[SKIP].robust(valid) >= whole.robust(valid)
    shares = [budgeted(record, share=share).robust(valid) for share in (0.2, 0.5, 0.9)]
    assert shares == sorted(shares, reverse=True)


def replayed(label, half, seed):
    record = drawn(seed)
    replays = {name: policy(record) for name, policy in policies(record.ap).items()}
    return ensemble.ModelReplay(label, half, record, replays)


def test_the_cheapest_policy_that_leaves_no_more_is_chosen_and_reported_on_others():
    models = [replayed("a", "choice", 0), replayed("b", "report", 1)]
    chosen = ensemble.choose(models[:1])
    assert models[0].rise(chosen) <= ensemble.RISE
    cheaper = [p for p in models[0].replays if models[0].share(p) < models[0].share(chosen)]
    assert all(models[0].rise(policy) > ensemble.RISE for policy in cheaper)
    lines = list(ensemble.lines(models, chosen))
    assert [case for claim, case, *_ in lines if claim is ensemble.HELD_OUT] == ["b"]
    assert {claim for claim, *_ in lines} == set(ensemble.CLAIMS)
    assert all(isinstance(claim, Claim) for claim, *_ in lines)


def test_the_passes_of_standard_are_those_of_its_steps_and_pulls():
    curves = dict.fromkeys(("push", "margin", "self", "opposite", "gray", "pull1", "pull2"), EARLY)
    passes = ensemble.passes_of_standard(record_of(curves))
    assert passes == pytest.approx(100 * (5 + 9) * (2 * LONGEST + 1) / LONGEST)


MODELS = ("a-plain", "a-fgsm_rs")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    toy = ["adv.study.models", "['a=tiny']", "adv.study.methods", "['plain', 'fgsm_rs']"]
    toy += ["adv.study.robust_epochs", "1", "adv.attack.eps", "2", "adv.training.objective", "self"]
    records = map(drawn, itertools.count())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble, "recorded_ensemble", lambda *given, **named: next(records))
        assert toys.study("ensemble", place, *toy) == 0
    return place, json.loads((place / "out" / "study.json").read_text())


def test_the_study_has_frontiers_halves_and_a_figure(done):
    readings = done[1]["readings"]
    tables = {reading["table"] for reading in readings}
    names = [
        f"{label} ({half})"
        for label, half in zip(MODELS, itertools.cycle(ensemble.HALVES), strict=False)
    ]
    assert {f"{ensemble.FRONTIER}{name}" for name in names} <= tables
    rounds = {r["column"]: r["value"] for r in readings if r["row"] == ROUNDS}
    assert set(names) <= set(rounds)
    steps = {r["column"] for r in readings if r["table"] == ensemble.STEP_TABLE}
    assert steps == {str(step) for step in STEPS}
    assert (done[0] / "out" / "ensemble_frontier.png").is_file()
    assert {case["claim"] for case in done[1]["cases"]} == {
        claim.sentence for claim in ensemble.CLAIMS
    }
    for reading in readings:
        if reading["table"].startswith(ensemble.FRONTIER) and reading["row"] == WHOLE:
            assert reading["value"] > 0
