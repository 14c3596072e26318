"""Whether a calibration is of a study's networks, and what claims can rest on."""

import json
from pathlib import Path

import pytest

from torchreid_adv import config, errors
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.experiments import calibration
from torchreid_adv.experiments.calibrated import (
    DECIDING,
    NOT_CALIBRATED,
    Calibrated,
    calibrated,
    of_result,
)
from torchreid_adv.experiments.claims import Reading
from torchreid_adv.experiments.study_file import StudyFile
from torchreid_adv.registry import STUDIES

ROOT = Path(__file__).parents[2]
KEPT = (0.9, 0.6, 0.12)  # clean, gray-box, white-box: inside, inside, outside


def readings():
    clean, gray, white = KEPT
    table = calibration.GALLERY["ifgsm"]
    return [
        Reading(calibration.CLEAN, "a", "mAP", 1, clean),
        Reading(table, "a", "a", 1, white),
        Reading(table, "a", "a-2", 1, gray),
    ]


@pytest.fixture
def cfg(tmp_path):
    own = default_config()
    own.merge_from_file(str(ROOT / "configs" / "study" / "calibration_short.yaml"))
    own.data.save_dir, own.train.max_epoch = str(tmp_path), 10
    own.adv.virtual.train_identities, own.adv.attack.eps = 150, 5.0
    yield own
    config.forget()


def result(cfg):
    return StudyFile("calibration", json.loads(json.dumps(config.plain(cfg))), readings())


def test_the_answers_are_those_of_the_calibration(cfg):
    known = of_result(result(cfg), cfg)
    assert {one.question: one.inside for one in known.answers} == {
        "clean mAP": True,
        "white-box I-FGSM, gallery: mAP kept": False,
        "gray-box I-FGSM: mAP kept": True,
    }
    assert known.objection(("clean", "gray-box I-FGSM")) == ""
    assert known.objection(("white-box",)).startswith("calibration fails: white-box I-FGSM")
    assert Calibrated.from_dict(json.loads(json.dumps(known.to_dict()))) == known


def test_what_does_not_decide_the_networks_may_differ(cfg):
    of_calibration = result(cfg)
    cfg.adv.study.seeds, cfg.train.seed, cfg.train.print_freq = [7, 8], 9, 3
    cfg.adv.attack.name, cfg.adv.attack.side = "sma", "query"
    cfg.adv.virtual.test_identities, cfg.data.targets = 7, ["virtual_a", "virtual_c"]
    assert of_result(of_calibration, cfg).problem == ""


@pytest.mark.parametrize(
    ("pairs", "change"),
    [
        (["train.max_epoch", "11"], "train.max_epoch 10, here 11"),
        (["adv.start.sources", "[]"], "adv.start.sources ['virtual_b', 'virtual_c'], here []"),
        (["data.height", "96"], "data.height 128, here 96"),
        (["adv.attack.eps", "2.0"], "adv.attack.eps 5.0, here 2.0"),
        (["adv.virtual.train_identities", "80"], "adv.virtual.train_identities 150, here 80"),
        (["adv.study.models", "['a=osnet_x0_25']"], "it has no osnet_x0_25"),
    ],
)
def test_a_calibration_of_other_networks_says_nothing(cfg, pairs, change):
    of_calibration = result(cfg)
    cfg.merge_from_list(pairs)
    known = of_result(of_calibration, cfg)
    assert known.problem == f"the calibration has other settings: {change}"
    assert known.objection(("clean",)) == known.problem
    assert known.objection(()) == ""


def test_a_key_that_is_new_since_says_nothing(cfg):
    of_calibration = result(cfg)
    del of_calibration.config["adv"]["schedule"]
    assert of_result(of_calibration, cfg).problem == ""


def test_it_is_found_beside_the_study_or_by_the_key(cfg, tmp_path):
    assert calibrated(cfg) == NOT_CALIBRATED
    content = {"study": "calibration", "config": config.plain(cfg)}
    content["readings"] = [vars(one) for one in readings()]
    (tmp_path / "calibration.json").write_text(json.dumps(content))
    assert len(calibrated(cfg).answers) == 3
    (tmp_path / "calibration.json").rename(tmp_path / "other.json")
    assert calibrated(cfg) == NOT_CALIBRATED
    cfg.adv.study.calibration = str(tmp_path / "other.json")
    assert len(calibrated(cfg).answers) == 3
    (tmp_path / "other.json").write_text(json.dumps({**content, "study": "attacks"}))
    with pytest.raises(errors.ConfigError, match="is of study 'attacks'"):
        calibrated(cfg)


def test_keys_that_decide_networks_are_keys(cfg):
    known = [f"{key}." for key, _ in config.leaves(cfg)]
    for name in DECIDING:
        assert any(key.startswith(f"{name}.") for key in known), name


def test_claims_rest_on_questions_that_are_asked():
    questions = [fact.question for fact in calibration.FACTS]
    for study in STUDIES:
        for claim in STUDIES.facts(study).get("claims", ()):
            for name in claim.rests_on:
                assert any(question.startswith(name) for question in questions), (study, name)
