"""The table of both versions: its numbers from small records, and one model end to end."""

import dataclasses
import json

import pytest
import torch
from people import Stripes, pixel_model, write_people
from torchreid_adv.benchmarks.standard_versions import (
    CountedSession,
    compared,
    rows_table,
    table,
    white_box_results,
    whole_passes,
)

from torchreid_adv.benchmarks import entrants, standard_versions
from torchreid_adv.distances import build_distance
from torchreid_adv.evaluation import Protocol
from torchreid_adv.standard.passes import counted
from torchreid_adv.standard.run import make_setting
from torchreid_adv.standard.versions import STANDARD, STANDARD_2

FIRST = {
    "clean": 0.5, "mAP": 0.2, "worst": [0.1, 0.3, None], "pids": [1, 2, 3],
    "queries": {"push": 2, "margin": 1}, "passes": {"push": [202, 200], "margin": [102, 100]},
    "seconds": {"push": 2.0, "margin": 1.0},
}  # fmt: skip
SECOND = {**FIRST, "mAP": 0.202, "worst": [0.1, 0.304, None], "passes": {"push-10": [42, 40]}}


def row(**changes):
    return {"model": "a", "standard": FIRST, "standard-2": {**SECOND, **changes}}


def test_passes_without_skipping_are_those_of_all_steps_on_all_queries():
    assert whole_passes(FIRST) == pytest.approx(402 + 2 * 202 + 2 * 2.01 * (300 + 900))


def test_a_row_compares_queries_in_pairs_and_adds_the_audit():
    values = compared(row())
    whole = whole_passes(FIRST)
    assert values["rise"] == pytest.approx(0.002)
    assert values["largest"] == pytest.approx(0.004)
    assert values["interval"][0] >= 0
    assert values["passes"] == (604, pytest.approx(82 + 0.05 * whole))
    assert values["breaks"] == (["passes"] if values["share"] > 0.4 else [])
    assert "mAP" in compared(row(mAP=0.21))["breaks"]


def test_the_table_has_a_line_for_each_model():
    lines = rows_table({"rows": [row(), row(mAP=0.21)]}).splitlines()
    assert len(lines) == 4
    assert "+0.20" in lines[2]
    assert "mAP" in lines[3].rpartition("|")[0].rpartition("|")[2]
    setting = {"queries": 2, "identities": 2, "gallery": 3, "size": [64, 32], "eps": 5.0, "eot": 2}
    about = {"date": "2020-01-02T03:04:05", "torch": "2", "device": "cpu", "setting": setting}
    whole = table({**about, "rows": [row()]})
    assert whole.startswith("2020-01-02, PyTorch 2 on one thread of cpu: 1 model, 2 queries")


@pytest.mark.parametrize("version", [STANDARD, STANDARD_2], ids=lambda version: version.name)
def test_white_box_attacks_are_run_and_counted(version, tmp_path):
    torch.set_num_threads(1)
    data = write_people(tmp_path / "people", identities=3)
    rules = Protocol(distance=build_distance("euclidean", normalize=True))
    rounds = ((1, 0), (2, 2), (3, 1)) if version.rounds else ()
    small = dataclasses.replace(
        version, steps=2, self_steps=2, pulls=1, chunk=4, audit=0, rounds=rounds
    )
    model = pixel_model(Stripes())
    setting = make_setting(model, data, tmp_path / "run", small, (), rules, 0)
    with counted(model) as counter:
        facts = white_box_results(CountedSession(**vars(setting), counter=counter), 14)
    first = "push-1" if version.rounds else "push"
    steps, queries = (1 if version.rounds else 2), facts["queries"][first]
    assert facts["passes"][first][1] == steps * queries
    assert not {"noise", "square", "universal"} & set(facts["passes"])
    assert set(facts["seconds"]) == set(facts["passes"])
    assert facts["mAP"] <= facts["clean"]
    assert json.loads(json.dumps(facts))


def test_every_defect_and_defense_of_the_table_can_be_built():
    cfg = standard_versions.configured(())
    for entrant in entrants.ENTRANTS:
        model = entrants.surrounded(cfg, entrant, pixel_model(Stripes()))
        assert model(torch.rand(2, 3, 16, 8)).shape == (2, 32)
    labels = [entrant.label for entrant in entrants.ENTRANTS]
    assert len(set(labels)) == len(labels)
