"""The report on robust checkpoints and the study of training, in a toy form."""

import json

import pytest
import toys

from torchreid_adv.engines.robust_report import page, robust_tables
from torchreid_adv.experiments.studies.training import CLAIMS, claims
from torchreid_adv.report.matrix import Cell


def study(place):
    toy = ["adv.attack.eps", "2", "adv.training.eps", "2", "adv.training.steps", "1"]
    return toys.study("training", place, *toy, "use_gpu", "False")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    assert study(place) == 0
    return place, json.loads((place / "out" / "study.json").read_text())


@pytest.mark.slow
def test_every_claim_is_of_the_runs(done):
    place, facts = done
    folder = place / "out" / "seed1" / "shufflenet"
    tables = json.loads((folder / "robustness.json").read_text())["targets"]["virtual_a"]
    assert set(tables) == {"normal", "offline", "online"}
    assert set(tables["offline"]["oblivious"]) == {"ifgsm", "sma"}
    assert tables["normal"]["oblivious"] == {}
    found = {c["claim"]: (c["smaller"], c["larger"]) for c in facts["cases"]}
    assert len(found) == 6
    read = {(r["row"], r["column"]): r["value"] for r in facts["readings"]}
    assert len(read) == 2 + 2 * 3
    online = tables["online"]["adaptive"]["ifgsm"]["mAP"]
    assert read["online", "adaptive"] == online
    white = tables["normal"]["adaptive"]["ifgsm"]["mAP"]
    claim = (
        "Attacked itself, a network trained online keeps over three times the mAP of a normal one"
    )
    assert found[claim] == (3 * white, online)
    run = json.loads((folder / "attacks/online/ifgsm-eps2/results.json").read_text())
    assert run["targets"]["virtual_a"]["adversarial"]["mAP"] == pytest.approx(online, abs=1e-6)


@pytest.mark.slow
def test_the_trainings_are_three(done):
    models = [*(done[0] / "data" / "models").glob("*/key.json")]
    assert len(models) == 3
    assert len(list((done[0] / "out/seed1/shufflenet/training_set").rglob("*.png"))) == 32


@pytest.mark.slow
def test_the_same_command_computes_nothing_again(done, nothing_is_computed):
    assert study(done[0]) == 0
    assert json.loads((done[0] / "out" / "study.json").read_text()) == done[1]


def test_shares_of_what_was_lost():
    figures = {"normal_clean": 0.8, "normal_adaptive": 0.2, "offline_clean": 0.76}
    figures |= {"offline_oblivious": 0.65, "offline_adaptive": 0.3}
    figures |= {"online_clean": 0.6, "online_adaptive": 0.4, "online_oblivious": 0.5}
    assert tuple(claim for claim, *_ in claims(figures)) == CLAIMS
    won, cost, *_ = claims(figures)
    assert won[1:] == pytest.approx((0.6, 0.75))
    assert cost[1:] == pytest.approx((0.04, 0.05))


def cell(attacked, tested, mean):
    measures = {"mAP": mean, "cmc": {"1": mean + 0.1}}
    clean = {"mAP": 0.8, "cmc": {"1": 0.9}}
    return Cell("virtual_a", attacked, "ifgsm", 5.0, "", tested, "white", clean, measures)


def test_a_table_has_both_rows_and_says_which_is_which():
    cells = [cell("clean", "clean", 0.01), cell("clean", "at", 0.7), cell("at", "at", 0.2)]
    first, second = robust_tables(cells, "clean")
    assert (first.oblivious, first.worst) == ({}, 0.01)
    assert second.worst == 0.2
    text = page([first, second])
    assert "| ifgsm | oblivious | 70.0 | 80.0 |" in text.replace(" %", "").replace("%", "")
    assert "| ifgsm | adaptive | 20.0 | 30.0 |" in text.replace(" %", "").replace("%", "")
    assert "table 5 of Bai et al." in text


def test_without_a_clean_network_there_are_no_oblivious_rows():
    (table,) = robust_tables([cell("at", "at", 0.2)], "")
    assert table.oblivious == {}
    assert "No clean network" in page([table])
