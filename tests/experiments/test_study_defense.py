"""The study of the joint defense in a toy form, and its arithmetic by hand."""

import itertools
import json

import pytest
import toys

from torchreid_adv import errors
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.defenses.circuitous_scaling import PRESETS
from torchreid_adv.experiments.studies import defense
from torchreid_adv.experiments.studies.defense import claims, readings, scaling

ATTACKS = ("ifgsm", "lta")  # two of the three, for time


def study(place, *pairs):
    toy = ["adv.study.models", "['a=tiny']", "adv.virtual.test_identities", "3"]
    toy += ["adv.attack.steps", "1", "adv.attack.step_size", "4", "adv.job.chunk", "6"]
    toy += ["adv.start.sources", "[]", "adv.schedule.warmup", "0"]
    return toys.study("defense", place, *toy, *pairs)


@pytest.fixture(scope="module", autouse=True)
def fewer_attacks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defense, "ATTACKS", ATTACKS)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    assert study(place) == 0
    return place, json.loads((place / "out" / "study.json").read_text())


ROWS = ["N", "CF", "DL", "CS", "JAD"]


def means_of(facts):
    return {(r["row"], r["column"]): r["value"] for r in facts["readings"] if r["table"] == "mAP"}


def test_every_row_has_every_column(done):
    found = {
        (r["row"], r["column"]): r["value"] for r in done[1]["readings"] if r["table"] == "mAP"
    }
    adaptive = [f"{row}, adaptive" for row in ROWS if row[:2] in ("CS", "JA")]
    wanted = {(row, column) for row in ROWS for column in ("clean", *ATTACKS)}
    assert set(found) == wanted | {(row, attack) for row in adaptive for attack in ATTACKS}
    assert all(0 <= value <= 1 for value in found.values())


def test_cf_and_dl_may_be_trained_longer_than_n(monkeypatch):
    seen = {}

    def trained(own, seed, start):
        assert start is cfg  # the start of N, without the recipe's transforms
        seen[tuple(own.data.transforms)] = own.train.max_epoch
        return []

    monkeypatch.setattr(defense, "trained_models", trained)
    cfg = default_config()
    cfg.merge_from_list(["train.max_epoch", "12", "adv.study.longer", "2"])
    normal = object()
    assert defense._trained(cfg, 1, [normal], []) == [normal]  # as long as the config says
    for recipe in ("color", "diversity"):
        defense._trained(cfg, 1, [normal], [recipe])
    assert set(seen.values()) == {24}
    assert [names[-1] for names in seen] == ["color", "diversity"]


def test_a_figure_is_that_of_its_run(done):
    place, facts = done
    found = means_of(facts)
    out = place / "out" / "seed1" / "a"
    for row, folder, *keys in [
        ("CF", "CF", "adversarial"),
        ("JAD, adaptive", "DL", "defense", "adaptive"),
        ("JAD", "DL", "defense", "oblivious"),
    ]:
        results = json.loads((out / folder / "lta" / "results.json").read_text())
        measures = results["targets"]["virtual_a"]
        for key in keys:
            measures = measures[key]
        assert found[row, "lta"] == pytest.approx(measures["mAP"], abs=1e-6)
    options = results["targets"]["virtual_a"]["defense"]["steps"]
    assert options[:3] == [[28, 12], [55, 25], [28, 12]]


def test_the_recipes_are_three_networks_trained_with_their_transforms(done):
    runs = done[0] / "out" / "seed1" / "a"
    weights = {
        json.loads((runs / recipe / "lta" / "results.json").read_text())["model"]["weights"]
        for recipe in ("N", "CF", "DL")
    }
    assert len(weights) == 3


def test_the_same_command_computes_nothing_again(done, nothing_is_computed, capsys):
    place, facts = done

    assert study(place) == 0
    assert json.loads((place / "out" / "study.json").read_text()) == facts
    printed = capsys.readouterr().out
    assert "### share of the mAP lost by N that is recovered, percent" in printed
    assert "|  | clean | ifgsm | lta |" in printed


def test_sizes_in_proportion_are_those_printed_at_the_papers_input():
    printed = [list(step) for step in PRESETS["jad"]]
    assert scaling((256, 128))["options"] == {"sizes": printed}
    assert scaling((128, 64))["options"] == {"sizes": [[55, 25], [110, 50], [55, 25]]}


MEANS = {
    "N": (0.8, 0.2),
    "CF": (0.8, 0.3),
    "DL": (0.8, 0.4),
    "CS": (0.8, 0.51),
    "JAD": (0.78, 0.6),
    "JAD, adaptive": (None, 0.25),
    "CS, adaptive": (None, 0.2),
}


def by_hand():
    means = {(row, "clean"): clean for row, (clean, _) in MEANS.items() if clean is not None}
    return means | {(row, attack): value for row, (_, value) in MEANS.items() for attack in ATTACKS}


def test_shares_by_hand():
    found = {
        (r.row, r.column): r.value for r in readings(by_hand(), 1) if r.table.startswith("share")
    }
    assert found["CF", "lta"] == pytest.approx(1 / 6)
    assert found["JAD", "lta"] == pytest.approx(2 / 3)
    assert found["JAD, adaptive", "ifgsm"] == pytest.approx(1 / 12)
    assert ("N", "lta") not in found
    nothing_lost = by_hand() | {("N", "lta"): 0.8}
    assert all(r.column != "lta" for r in readings(nothing_lost, 1) if r.table.startswith("share"))


def test_claims_by_hand():
    effects = {}
    for claim, _, smaller, larger in claims(by_hand()):
        effects.setdefault(claim, set()).add(round(larger - smaller, 9))
    assert set(effects) == set(defense.CLAIMS)
    by_sentence = {claim.sentence: values for claim, values in effects.items()}
    assert by_sentence.pop("JAD costs at most 3 points of clean mAP") == {0.01}
    by_hand_too = {
        "CF keeps more mAP than N": {0.1},
        "DL keeps more mAP than CF": {0.1},
        "JAD keeps more mAP than DL": {0.2},
        "JAD keeps more mAP than CS": {0.09},
        "CS recovers more than half of what N loses": {0.01},
        "JAD recovers more than half of what N loses": {0.1},
        "an attack through JAD leaves less mAP than one that ignores it": {0.35},
        "more than half of what JAD recovers remains under an attack through it": {-0.15},
    }
    assert by_sentence == {
        f"{group}: {sentence}": effects
        for group in ("I-FGSM and SMA", "LTA")
        for sentence, effects in by_hand_too.items()
    }


def test_a_group_of_attacks_rests_on_its_own_questions():
    groups = {claim.rests_on: claim.sentence.partition(":")[0] for claim in defense.CLAIMS[1:]}
    assert {group: any("LTA" in name for name in rests) for rests, group in groups.items()} == {
        "I-FGSM and SMA": False,
        "LTA": True,
    }
    assert sorted(itertools.chain(*defense.GROUPS.values())) == ["ifgsm", "lta", "sma"]


def test_a_defense_in_the_config_is_refused(tmp_path, capsys):
    assert study(tmp_path, "adv.defense.name", "jpeg") == errors.ConfigError.exit_code
    assert "leave adv.defense.name empty" in capsys.readouterr().err
