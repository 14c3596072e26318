"""The page of a study: its headline, its cautions, and what an interrupted study leaves."""

import json
import re
from pathlib import Path

import pytest

from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.experiments import study as study_module
from torchreid_adv.experiments.calibrated import NOT_CALIBRATED, of_result
from torchreid_adv.experiments.claims import Case, Claim, Reading
from torchreid_adv.experiments.study_file import StudyFile, read_study
from torchreid_adv.experiments.study_page import headline, lead
from torchreid_adv.experiments.verdicts import verdicts

CLAIM, OTHER = Claim("The first is smaller", ()), Claim("The second is smaller", ())
EFFECTS = {"holds": 0.1, "opposite": -0.1, "no effect": 0.0}


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    """The config of a study of two claims, whose networks are not trained."""
    monkeypatch.setattr(study_module, "trained_models", lambda cfg, seed: [])
    facts = {"title": "Toy", "claims": (CLAIM, OTHER)}
    monkeypatch.setattr("torchreid_adv.registry.STUDIES.facts", lambda name: facts)
    cfg = default_config()
    cfg.data.save_dir, cfg.data.targets = str(tmp_path / "out"), ["virtual_a"]
    cfg.adv.study.models, cfg.adv.study.seeds = ["a=tiny"], [1, 2, 3, 4, 5]
    return cfg


def run(cfg, *, fails_at=None):
    def study(run_cfg, seed, specs):
        if seed == fails_at:
            raise KeyboardInterrupt
        cases = [Case(claim, "", seed, 0.2, 0.3 + 0.001 * seed) for claim in (CLAIM, OTHER)]
        return [*cases, Reading("mAP", "a", "clean", seed, 0.3)]

    return study_module.run_study(cfg, "toy", study)


def words(cfg):
    """Return the text of the page."""
    page = (folder_of(cfg) / "study.html").read_text(encoding="utf-8")
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def folder_of(cfg):
    return Path(cfg.data.save_dir)


def test_a_page_has_verdicts_values_setting_and_origin(cfg):
    cfg.adv.study.seeds = [1]
    path = run(cfg)
    text = words(cfg)
    parts = ("Of 2 claims", CLAIM.sentence, "Values", "No calibration is in force", "Setting")
    for part in (*parts, "1 seed", "Command", "Device", "Versions"):
        assert part in text
    assert "Nothing is concluded from 1 run: a verdict needs 5." in text
    assert "1 run with a value, 5 are needed" in text
    assert path.read_text().splitlines()[2].startswith("Of 2 claims, 0 hold")


def test_no_page_is_written_where_none_is_wanted(cfg):
    cfg.adv.study.seeds = [1]
    cfg.adv.report.page = False
    run(cfg)
    assert not (folder_of(cfg) / "study.html").exists()
    assert (folder_of(cfg) / "study.md").exists()


def test_an_interrupted_study_says_that_nothing_is_concluded(cfg, capsys):
    cfg.adv.study.seeds = [1, 2]
    with pytest.raises(KeyboardInterrupt):
        run(cfg, fails_at=2)
    assert "1 of 2 runs are finished. Values so far: " in capsys.readouterr().out
    text = words(cfg)
    assert "Nothing is concluded, because the study is not finished: only 1 of 2 runs" in text
    decided = json.loads((folder_of(cfg) / "study.json").read_text())["verdicts"]
    assert {verdict["reason"] for verdict in decided} == {"only 1 of 2 runs are finished"}
    run(cfg)
    assert "Nothing is concluded from 2 runs" in words(cfg)


def test_a_finished_study_is_not_replaced_by_part_of_it(cfg):
    cfg.adv.study.seeds = [1, 2]
    cfg.adv.report.page = False
    run(cfg)
    before = (folder_of(cfg) / "study.json").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        run(cfg, fails_at=2)
    assert (folder_of(cfg) / "study.json").read_bytes() == before


@pytest.mark.parametrize("effects", [(0.1, 0.1), (0.1, -0.1)])
def test_no_verdict_comes_from_part_of_a_study(effects):
    cases = [
        Case(claim, "", seed, 0.2, 0.2 + effect)
        for claim, effect in zip((CLAIM, OTHER), effects, strict=True)
        for seed in range(6)
    ]
    unfinished = StudyFile("toy", {}, finished=6, planned=7).unfinished
    found = verdicts((CLAIM, OTHER), cases, NOT_CALIBRATED, unfinished)
    assert {verdict.text for verdict in found} == {"cannot tell: only 6 of 7 runs are finished"}


def test_an_unfinished_calibration_decides_nothing(cfg):
    cfg.adv.study.seeds = [1, 2]
    cfg.adv.report.page = False
    with pytest.raises(KeyboardInterrupt):
        run(cfg, fails_at=2)
    result = read_study(folder_of(cfg) / "study.json")
    assert (result.finished, result.planned) == (1, 2)
    assert "incomplete: only 1 of 2 runs are finished" in of_result(result, cfg).problem


def test_the_headline_counts_each_verdict_once():
    claims = [Claim(word, ()) for word in (*EFFECTS, "not run", "holds, too")]
    effects = {**EFFECTS, "holds, too": 0.2}
    cases = [
        Case(claim, "", seed, 0.2, 0.2 + effects[claim.sentence])
        for claim in claims
        for seed in range(5)
        if claim.sentence in effects
    ]
    assert headline(verdicts(claims, cases, NOT_CALIBRATED)) == (
        "Of 5 claims, 2 hold, the opposite holds for 1, 1 shows no effect, and 1 cannot be decided."
    )


def test_one_seed_of_a_study_without_claims_has_no_spread(monkeypatch):
    monkeypatch.setattr("torchreid_adv.registry.STUDIES.facts", lambda name: {"title": "Toy"})
    (sentence,) = lead(StudyFile("toy", {}, finished=1, planned=1), [])
    assert "spread over seeds" in sentence
