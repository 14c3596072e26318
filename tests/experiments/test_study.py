"""A study in a toy form: models that have seen one epoch, and every comparison in its place."""

import json

import pytest
import toys

from torchreid_adv import cli, errors

MODELS = ["a=tiny_classifier", "b=tiny_classifier@80x40", "c=tiny_classifier@48x24"]


def study(place):
    return toys.study("attacks", place, "adv.study.models", repr(MODELS), "adv.attack.eps", "2")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    assert study(place) == 0
    return place, json.loads((place / "out" / "study.json").read_text())


def test_every_claim_has_all_its_cases(done):
    cases = {verdict["claim"]: verdict["cases"] for verdict in done[1]["verdicts"]}
    assert sorted(cases.values()) == [3, 3, 3, 3, 3, 6, 6, 6]
    pairs = [c["case"] for c in done[1]["comparisons"] if "ensemble" in c["claim"]]
    assert sorted(pairs) == ["a+b on c", "a+c on b", "b+c on a"]


def mean_of(place, run):
    path = place / "out/seed1" / run / "results.json"
    return json.loads(path.read_text())["targets"]["virtual_a"]["adversarial"]["mAP"]


@pytest.mark.parametrize(
    ("claim", "case", "run"),
    [
        ("no more than FGSM", "b", "gallery/attacks/b/ifgsm-eps2"),
        ("no more than SMA", "c", "query/attacks/c/lta-eps2"),
        ("metric that ranks", "b: euclidean", "metrics/attacks/b/ifgsm-eps2-euclidean"),
    ],
)
def test_a_figure_is_that_of_its_run(done, claim, case, run):
    place, facts = done
    found = [c for c in facts["comparisons"] if c["case"] == case and claim in c["claim"]]
    assert [c["smaller"] for c in found] == [pytest.approx(mean_of(place, run), abs=1e-6)]


def test_the_same_command_computes_nothing_again(done, nothing_is_computed, capsys):
    place, facts = done

    assert study(place) == 0
    assert json.loads((place / "out" / "study.json").read_text()) == facts
    assert "| claim | smaller | larger | cases | verdict |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a study: attacks"),
        (["atacks"], "unknown study 'atacks'; did you mean 'attacks'?"),
        (["attacks"], "adv.study.models"),
        (["attacks", "adv.study.models", "['resnet19']"], "resnet19"),
    ],
)
def test_what_is_wrong_is_said(arguments, said, capsys):
    assert cli.main(["study", *arguments]) == errors.ConfigError.exit_code
    assert said in capsys.readouterr().err
