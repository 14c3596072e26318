"""The study of universal attacks in a toy form, and its arithmetic by hand."""

import json

import pytest
import toys

from torchreid_adv import errors
from torchreid_adv.experiments.learned import SourceModel
from torchreid_adv.experiments.scenario_tables import SCENARIOS
from torchreid_adv.experiments.studies.universal import claims
from torchreid_adv.models.specs import ModelSpec

KINDS = ("color", "delta", "both")


def study(place, *pairs):
    toy = ["data.height", "32", "data.width", "16", "adv.virtual.test_identities", "3"]
    toy += ["adv.study.models", "['a=tiny_classifier', 'b=tiny_classifier@48x24']"]
    toy += ["adv.scenarios.learned", "['a-virtual_a', 'b-virtual_a']"]
    toy += ["adv.scenarios.epochs", "1", "adv.scenarios.batch", "8", "adv.meta.iterations", "1"]
    return toys.study("universal", place, *toy, *pairs)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    assert study(place) == 0
    return place, json.loads((place / "out" / "study.json").read_text())


@pytest.mark.slow
def test_every_way_has_a_figure_in_every_scenario(done):
    readings = done[1]["readings"]
    assert {r["table"] for r in readings} == {f"mAP, learned against {m}" for m in ("a", "b")}
    rows = {"clean", *KINDS, *(f"meta {kind}" for kind in KINDS)}
    for table in {r["table"] for r in readings}:
        places = {(r["row"], r["column"]) for r in readings if r["table"] == table}
        assert places == {(row, scenario) for row in rows for scenario in SCENARIOS}


@pytest.mark.slow
def test_a_figure_is_that_of_its_run(done):
    place, facts = done
    (path,) = (place / "out" / "seed1" / "attacks").glob(
        "a-virtual_a-both-*@32x16/virtual_a/universal-eps8/results.json"
    )
    measures = json.loads(path.read_text())["targets"]["virtual_a"]
    found = {(r["row"], r["column"]): r["value"] for r in facts["readings"] if "st a" in r["table"]}
    assert found["both", "source"] == pytest.approx(measures["adversarial"]["mAP"], abs=1e-6)
    assert found["clean", "source"] == pytest.approx(measures["clean"]["mAP"], abs=1e-6)


@pytest.mark.slow
def test_the_same_command_computes_nothing_again(done, nothing_is_computed, capsys):
    place, facts = done

    assert study(place) == 0
    assert json.loads((place / "out" / "study.json").read_text()) == facts
    printed = capsys.readouterr().out
    assert "|  | source | cross-model | cross-dataset | cross-model-dataset |" in printed
    assert (
        "| Meta-learning leaves less mAP (unseen: model-dataset) | +5.2 (meta.table4) |" in printed
    )


def by_hand(**changes):
    left = {"color": 0.5, "delta": 0.3, "both": 0.2}
    left |= {f"meta {kind}": value - 0.1 for kind, value in left.items()}
    means = {(way, s): value for way, value in {"clean": 0.8, **left}.items() for s in SCENARIOS}
    return means | {(name.replace("_", " "), "source"): v for name, v in changes.items()}


def held(means):
    on = SourceModel("a", "virtual_a", ModelSpec("a-virtual_a", "tiny", "w"))
    found = {}
    for claim, _, smaller, larger in claims(means, on):
        found.setdefault(claim.sentence, []).append(smaller <= larger)
    return found


def test_claims_by_hand():
    found = held(by_hand())
    assert len(found) == 3 + 4
    assert sum(map(len, found.values())) == 2 * 3 + 4 * 3
    assert all(all(cases) for cases in found.values())
    assert held(by_hand(both=0.25))["Both parts take more than 70 % of the source mAP"] == [
        False,
        True,
    ]
    worse = held(by_hand(meta_both=0.35))
    assert worse["Meta-learning leaves less mAP (source)"] == [True, True, False]
    assert worse["Both parts leave less mAP on the source than the delta alone"] == [True, False]
    assert all(worse[f"Meta-learning leaves less mAP (unseen: {s})"] for s in ("model", "dataset"))


def test_a_kept_step_is_held_against_as_many_plain_steps():
    victim = SourceModel("a", "virtual_a", ModelSpec("a-virtual_a", "tiny", "w"))
    means = {("two_step delta", "source"): 0.2, ("twice delta", "source"): 0.3}
    means |= {("two_step both", "source"): 0.4, ("meta delta", "source"): 0.1}
    found = [line for line in claims(means, victim) if "temporary step" in line[0].sentence]
    ((claim, case, smaller, larger),) = found
    assert (case, smaller, larger) == ("a: delta", 0.2, 0.3)
    assert "than as many plain steps (source)" in claim.sentence


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        (("data.targets", "['virtual_a']"), "further sets of data.targets"),
        (("adv.meta.virtual", "virtual_c"), "must not be learned or tested on"),
    ],
)
def test_what_cannot_be_is_a_sentence(tmp_path, capsys, monkeypatch, pairs, sentence):
    monkeypatch.setattr("torchreid_adv.experiments.study.trained_weights", lambda cfg: "w")
    assert study(tmp_path, *pairs) == errors.ConfigError.exit_code
    assert sentence in capsys.readouterr().err
