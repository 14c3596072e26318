"""The study of starts in a toy form: whose noise is tested on whom, and what is compared."""

import json

import pytest
import toys

from torchreid_adv import errors
from torchreid_adv.experiments.studies import starts

NETWORKS = ("a", "a-2", "a-apart")


def study(place, *pairs):
    toy = ["adv.study.models", "['a=tiny']", "adv.attack.eps", "2", "adv.schedule.warmup", "0"]
    toy += ["adv.start.identities", "6", "adv.start.epochs", "1", "adv.start.half_size", "0"]
    toy += ["adv.start.warmup", "0", "adv.start.batch", "8"]
    return toys.study("starts", place, *toy, *pairs, file="calibration_short")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    assert study(place) == 0
    return place, json.loads((place / "out" / "study.json").read_text())


def test_every_network_is_tested_on_the_noise_of_every_other_and_of_pairs(done):
    found = {(r["table"], r["row"], r["column"]) for r in done[1]["readings"]}
    for attack in starts.ATTACKS:
        table = f"{starts.KEPT}: {attack}"
        wanted = {(x, y) for x in NETWORKS for y in NETWORKS}
        if attack == "ifgsm":
            wanted |= {("a+a-apart", "a-2"), ("a-2+a-apart", "a"), ("a+a-2", "a-apart")}
        assert {(row, column) for name, row, column in found if name == table} == wanted


def test_the_third_network_has_another_start(done):
    keys = [json.loads(p.read_text()) for p in (done[0] / "data" / "models").glob("*/key.json")]
    configs = [key["config"] for key in keys]
    assert len(configs) == 5  # two starts, and three networks of them
    starts_of = {c["adv.start.seed"] for c in configs if not c["model.load_weights"]}
    assert starts_of == {0, 1}
    assert len({str(c["model.load_weights"]) for c in configs} - {""}) == 2


def test_noise_of_the_same_start_is_held_against_that_of_another_on_the_same_network(done):
    values = {
        (r["row"], r["column"]): r["value"]
        for r in done[1]["readings"]
        if r["table"] == f"{starts.KEPT}: ifgsm"
    }
    cases = {c["name"]: c for c in done[1]["cases"] if c["claim"] == starts.START.sentence}
    case = cases["I-FGSM on a-2"]
    assert (case["smaller"], case["larger"]) == (values["a", "a-2"], values["a-apart", "a-2"])
    assert len(cases) == 6


def test_an_ensemble_is_held_against_its_better_member(done):
    name = "I-FGSM, a+a-apart on a-2"
    case = next(c for c in done[1]["cases"] if c["name"] == name)
    values = {
        (r["row"], r["column"]): r["value"]
        for r in done[1]["readings"]
        if r["table"] == f"{starts.KEPT}: ifgsm"
    }
    assert case["claim"] == starts.ENSEMBLE.sentence
    assert case["larger"] == min(values["a", "a-2"], values["a-apart", "a-2"])


def test_networks_without_a_start_are_refused(tmp_path, capsys):
    assert study(tmp_path, "adv.start.sources", "[]") == errors.ConfigError.exit_code
    assert "name people in adv.start.sources" in capsys.readouterr().err
