"""A study in a toy form: models that have seen one epoch, and every comparison in its place."""

import json
from pathlib import Path

import pytest

from torchreid_adv import cli, config, errors

CONFIG = Path(__file__).parents[2] / "configs" / "study" / "attacks.yaml"
MODELS = ["a=tiny_classifier", "b=tiny_classifier@80x40", "c=tiny_classifier@48x24"]


def study(place, *pairs):
    config.forget()
    toy = ["data.root", str(place / "data"), "data.save_dir", str(place / "out")]
    toy += ["data.height", "64", "data.width", "32", "train.max_epoch", "1"]
    toy += ["adv.virtual.height", "64", "adv.virtual.width", "32", "adv.virtual.distractors", "2"]
    toy += ["adv.virtual.train_identities", "8", "adv.virtual.test_identities", "4"]
    toy += ["adv.virtual.cameras_per_identity", "2", "adv.virtual.images_per_camera", "2"]
    toy += ["adv.study.models", repr(MODELS), "adv.study.seeds", "[1]", "adv.attack.eps", "2"]
    toy += ["adv.plugins", "['scripts.tiny_model']"]
    return cli.main(["study", "attacks", "--config-file", str(CONFIG), *toy, *pairs])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    assert study(place) == 0
    config.forget()
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


def test_the_same_command_computes_nothing_again(done, monkeypatch, capsys):
    place, facts = done

    def forbidden(*arguments, **keywords):
        raise AssertionError("computed again")

    monkeypatch.setattr("torchreid_adv.commands.own_model._train", forbidden)
    monkeypatch.setattr("torchreid_adv.commands.kept_run.attack_targets", forbidden)
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
