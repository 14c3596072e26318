"""The study of MetaDefense in a toy form, and its claims by hand."""

import json

import pytest
import toys

from torchreid_adv.experiments.studies.meta_defense import (
    AGAIN,
    CLAIMS,
    CLEAN,
    COSTS,
    DEFENDED,
    KINDS,
    OUTLIVES,
    WHITE,
    claims,
)

ROWS = ("N", *DEFENDED)
COLUMNS = (CLEAN, *KINDS, AGAIN, WHITE)


def study(place):
    toy = ["adv.study.models", "['a=tiny_classifier']", "adv.virtual.test_identities", "3"]
    toy += ["adv.scenarios.epochs", "1", "adv.scenarios.batch", "8", "adv.meta.iterations", "1"]
    toy += ["train.batch_size", "8", "adv.attack.steps", "1", "adv.attack.step_size", "4"]
    return toys.study("meta_defense", place, *toy)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    assert study(place) == 0
    return place, json.loads((place / "out" / "study.json").read_text())


@pytest.mark.slow
def test_every_row_has_every_column(done):
    found = {(r["row"], r["column"]) for r in done[1]["readings"]}
    assert found == {(row, column) for row in ROWS for column in COLUMNS}
    assert len([*(done[0] / "data" / "models").glob("*/key.json")]) == len(ROWS)


@pytest.mark.slow
def test_an_attack_learned_again_is_another_one(done):
    learned = sorted(p.name for p in (done[0] / "out/seed1/a/learned").iterdir())
    assert len(learned) == len(KINDS) + len(DEFENDED)


@pytest.mark.slow
def test_the_same_command_computes_nothing_again(done, nothing_is_computed):
    assert study(done[0]) == 0
    assert json.loads((done[0] / "out" / "study.json").read_text()) == done[1]


def test_claims_by_hand():
    means = {(row, column): 0.1 for row in ROWS for column in COLUMNS}
    means |= {("M(both)", kind): 0.4 for kind in KINDS}
    means |= {("N", CLEAN): 0.80, ("M(both)", CLEAN): 0.76, ("M(both)", AGAIN): 0.15}
    held = {claim: smaller <= larger for claim, smaller, larger in claims(means)}
    assert set(held) == set(CLAIMS)
    assert held.pop(OUTLIVES) is False
    assert all(held.values())
    means["M(both)", CLEAN] = 0.74
    held = {claim: smaller <= larger for claim, smaller, larger in claims(means)}
    assert held[COSTS] is False
