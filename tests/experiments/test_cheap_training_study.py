"""The study of cheap training: every method, its cost, its claims and its picture."""

import itertools
import json

import pytest
from toys import study

from torchreid_adv import config
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.experiments import frontier
from torchreid_adv.experiments.studies import cheap_training as cheap
from torchreid_adv.experiments.training_cost import update_seconds
from torchreid_adv.integration.hooks import installed
from torchreid_adv.registry import TRAININGS

TOY = ["adv.study.models", "['toy=tiny_classifier']", "adv.study.robust_epochs", "1"]
TOY += ["train.batch_size", "8", "sampler.num_instances", "2"]


def test_every_method_is_in_the_study():
    assert set(cheap.METHODS) == {cheap.PLAIN, *TRAININGS.public} == set(cheap.NAMES)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("cheap")


@pytest.fixture(scope="module")
def content(place):
    methods = "['plain', 'free', 'fgsm_rs', 'atas', 'hm', 'pgd']"
    assert study("cheap_training", place, *TOY, "adv.study.methods", methods) == 0
    return json.loads((place / "out" / "study.json").read_text())


@pytest.mark.slow
def test_the_study_has_values_costs_claims_and_a_picture(content, place):
    readings = content["readings"]
    rows = {reading["row"] for reading in readings if reading["table"] == cheap.MAP}
    assert len(rows) == 12
    assert {reading["column"] for reading in readings if reading["table"] == cheap.MAP} == {
        "clean", "I-FGSM", "PGD-20",
    }  # fmt: skip
    costs = {
        reading["row"]: reading["value"]
        for reading in readings
        if reading["column"] == cheap.STEPS_COLUMN
    }
    assert costs["plain"] == 1
    assert costs["PGD-7"] > costs["FGSM-RS"] > 1
    spreads = [reading["value"] for reading in readings if reading["table"] == cheap.SPREAD]
    assert all(0 <= value < 1 for value in spreads)
    claims = {case["claim"] for case in content["cases"]}
    assert cheap.ROBUST["free"].sentence in claims
    assert cheap.START.sentence in claims
    assert cheap.ROBUST["n_fgsm"].sentence not in claims
    assert (place / "out" / "cheap_training_frontier.png").stat().st_size > 5000


@pytest.mark.slow
def test_the_same_command_finds_everything_again(content, place, monkeypatch):
    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(cheap, "update_seconds", never)
    monkeypatch.setattr("torchreid_adv.engines.trained._train", never)
    methods = "['plain', 'free', 'fgsm_rs', 'atas', 'hm', 'pgd']"
    assert study("cheap_training", place, *TOY, "adv.study.methods", methods) == 0
    again = json.loads((place / "out" / "study.json").read_text())
    assert again["readings"] == content["readings"]


def test_claims_compare_with_pgd():
    start = cheap.CLEAN_START
    values = {
        (start, "pgd"): {"clean": 0.5, "PGD-20": 0.3},
        (start, "fgsm_rs"): {"clean": 0.48, "PGD-20": 0.28},
        (start, "plain"): {"clean": 0.6, "PGD-20": 0.02},
    }
    lines = {c: (a, b) for c, _, a, b in cheap.lines(values, {"plain": 2.0, "fgsm_rs": 4.4})}
    assert lines[cheap.ROBUST["fgsm_rs"]] == (pytest.approx(0.27), 0.28)
    assert lines[cheap.ACCURATE["fgsm_rs"]] == (pytest.approx(0.47), 0.48)
    assert lines[cheap.CHEAP["fgsm_rs"]] == (pytest.approx(2.2), 2.0)
    assert cheap.START not in lines


def test_the_front_is_what_nothing_is_beyond():
    points = {"a": (1.0, 0.1), "b": (2.0, 0.3), "c": (2.5, 0.2), "d": (5.0, 0.4), "e": (2.0, 0.25)}
    assert frontier.front(points) == ["a", "b", "d"]


def test_the_cost_is_of_an_update():
    cfg = default_config()
    words = ["model.name", "tiny_classifier", "data.height", "32", "data.width", "16"]
    cfg.merge_from_list([*words, "train.batch_size", "4", "model.pretrained", "False"])
    free = cfg.clone()
    free.adv.engine, free.adv.training.method = "adversarial_training", "free"
    cfg.adv.plugins = free.adv.plugins = ["scripts.tiny_model"]
    ticks = itertools.count(0, 3)  # every pass takes 3 seconds
    with installed():
        config.setup(cfg)
        computed = update_seconds({"plain": cfg, "free": free}, clock=lambda: float(next(ticks)))
    config.forget()
    assert computed == {"plain": 3.0, "free": 3.0 / 4}
