"""The study of checkpoints in a toy form, and its correlations by hand."""

import json
import math
from pathlib import Path

import pytest
import toys

from torchreid_adv import errors
from torchreid_adv.experiments.studies.selection import (
    ATTACKED,
    CHECKPOINTS,
    CLEAN,
    ONE_TRAINING,
    TELLS,
    correlation,
)


def study(place, *pairs):
    toy = ["train.max_epoch", "3", "adv.virtual.distractors", "0", "adv.selection.every", "1"]
    toy += ["adv.virtual.test_identities", "3", "adv.study.models", "['a=tiny']"]
    toy += ["adv.attack.steps", "1", "adv.job.chunk", "6"]
    return toys.study("selection", place, *toy, *pairs)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    assert study(place) == 0
    return place, json.loads((place / "out" / "study.json").read_text())


def test_every_checkpoint_is_attacked_and_stands_beside_its_look(done):
    place, facts = done
    found = {
        (r["row"], r["column"]): r["value"] for r in facts["readings"] if r["table"] == CHECKPOINTS
    }
    rows = [f"{recipe}, epoch {n}" for recipe in ("N", "DL") for n in ("1", "2", "3 (last)")]
    assert list(dict.fromkeys(row for row, _ in found)) == rows
    run = json.loads((place / "out/seed1/DL/epoch2/results.json").read_text())
    measures = run["targets"]["virtual_a"]
    assert found["DL, epoch 2", ATTACKED] == pytest.approx(measures["adversarial"]["mAP"])
    assert found["DL, epoch 2", CLEAN] == pytest.approx(measures["clean"]["mAP"])
    looks = json.loads((Path(run["model"]["weights"]).parents[1] / "selection.json").read_text())
    assert found["DL, epoch 2", "across data sets"] == looks["epochs"][1]["mAP"]


def test_the_claims_are_of_each_training(done):
    cases = [(c["name"], c["claim"]) for c in done[1]["cases"]]
    assert len(set(cases)) == len(cases) == 2 * 3
    told = {
        r["row"]: r["value"]
        for r in done[1]["readings"]
        if (r["table"], r["column"]) == (ONE_TRAINING, "across data sets")
    }
    effects = {c["name"]: c["larger"] for c in done[1]["cases"] if c["claim"] == TELLS.sentence}
    assert {name: value for name, value in effects.items() if value is not None} == told


def test_correlations_by_hand():
    """Ranks 1 2 3 4 against 1 2 4 3: 1 - 6 * 2 / (4 * 15) = 0.8."""
    figures = zip((0.1, 0.2, 0.3, 0.4), (0.4, 0.3, 0.2, 0.1), (0.01, 0.02, 0.04, 0.03), strict=True)
    names = ("across data sets", CLEAN, ATTACKED)
    points = [dict(zip(names, columns, strict=True)) for columns in figures]
    assert correlation(points, "across data sets") == pytest.approx(0.8)
    assert correlation(points, CLEAN) == pytest.approx(-0.8)
    assert math.isnan(correlation(points[:2], CLEAN))
    assert math.isnan(correlation([{**point, CLEAN: 0.5} for point in points], CLEAN))


def test_a_study_without_a_data_set_to_choose_by_is_refused(tmp_path, capsys):
    pairs = ["adv.selection.data", "''", "train.max_epoch", "1"]
    assert study(tmp_path, *pairs) == errors.ConfigError.exit_code
    assert "needs adv.selection.data" in capsys.readouterr().err
