"""The study of checkpoints in a toy form, and its correlations by hand."""

import json
from pathlib import Path

import pytest
import toys

from torchreid_adv import errors
from torchreid_adv.experiments.claims import Reading
from torchreid_adv.experiments.studies.selection import ATTACKED, CHECKPOINTS, CLEAN, summary


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


def test_the_claim_is_of_the_chosen_and_the_last_checkpoint(done):
    cases = {c["case"] for c in done[1]["comparisons"]}
    assert cases == {"N", "DL"}
    assert "### rank correlation (Spearman)" in (done[0] / "out" / "study.md").read_text()


def test_correlations_by_hand():
    """Ranks 1 2 3 4 against 1 2 4 3: 1 - 6 * 2 / (4 * 15) = 0.8."""
    rows = []
    figures = zip((0.1, 0.2, 0.3, 0.4), (0.4, 0.3, 0.2, 0.1), (0.01, 0.02, 0.04, 0.03), strict=True)
    for n, columns in enumerate(figures):
        row = f"N, epoch {n}" + (" (last)" if n == 3 else "")
        names = ("across data sets", CLEAN, ATTACKED)
        rows += [
            Reading(CHECKPOINTS, row, name, 1, value)
            for name, value in zip(names, columns, strict=True)
        ]
    text = summary(rows)
    assert "| all checkpoints | 4 | 0.80 (p 0.200) | -0.80 (p 0.200) |" in text
    assert "| last checkpoints | 1 |  |  |" in text


def test_a_study_without_a_data_set_to_choose_by_is_refused(tmp_path, capsys):
    pairs = ["adv.selection.data", "''", "train.max_epoch", "1"]
    assert study(tmp_path, *pairs) == errors.ConfigError.exit_code
    assert "needs adv.selection.data" in capsys.readouterr().err
