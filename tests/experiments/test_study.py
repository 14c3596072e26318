"""A study in a toy form: models that have seen one epoch, and every comparison in its place."""

import json
from collections import Counter
from pathlib import Path

import pytest
import toys

from torchreid_adv import cli, errors
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.experiments import study as study_module
from torchreid_adv.experiments.claims import Case, Claim
from torchreid_adv.experiments.studies import universal
from torchreid_adv.experiments.studies.attacks import CLAIMS
from torchreid_adv.registry import STUDIES

MODELS = ["a=tiny_classifier", "b=tiny_classifier@80x40", "c=tiny_classifier@48x24"]


def study(place):
    return toys.study("attacks", place, "adv.study.models", repr(MODELS), "adv.attack.eps", "2")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    assert study(place) == 0
    return place, json.loads((place / "out" / "study.json").read_text())


def test_every_claim_has_all_its_cases(done):
    cases = Counter(case["claim"] for case in done[1]["cases"])
    assert sorted(cases.values()) == [3, 3, 3, 3, 3, 6, 6, 6]
    assert [verdict["claim"] for verdict in done[1]["verdicts"]] == [
        claim.sentence for claim in CLAIMS
    ]
    pairs = [c["name"] for c in done[1]["cases"] if "ensemble" in c["claim"]]
    assert sorted(pairs) == ["a+b on c", "a+c on b", "b+c on a"]


def test_every_cell_is_kept(done):
    cells = {(r["table"], r["row"], r["column"]): r["value"] for r in done[1]["readings"]}
    tables = {"gallery": "gallery", "queries": "query"}
    for side, folder in tables.items():
        path = done[0] / "out" / "seed1" / folder / "transfer.json"
        for cell in json.loads(path.read_text()):
            where = (
                f"mAP left by {cell['attack']} on the {side}",
                cell["attacked"],
                cell["tested"],
            )
            assert cells.pop(where) == cell["adversarial"]["mAP"]
    assert {attacked for _, attacked, _ in cells} == {"a+b", "a+c", "b+c"}


def mean_of(place, run):
    path = place / "out/seed1" / run / "results.json"
    return json.loads(path.read_text())["targets"]["virtual_a"]["adversarial"]["mAP"]


@pytest.mark.parametrize(
    ("claim", "case", "run"),
    [
        ("less mAP than FGSM", "b", "gallery/attacks/b/ifgsm-eps2"),
        ("less mAP than SMA", "c", "query/attacks/c/lta-eps2"),
        ("metric that ranks", "b: euclidean", "metrics/attacks/b/ifgsm-eps2-euclidean"),
    ],
)
def test_a_figure_is_that_of_its_run(done, claim, case, run):
    place, facts = done
    found = [c for c in facts["cases"] if c["name"] == case and claim in c["claim"]]
    assert [c["smaller"] for c in found] == [pytest.approx(mean_of(place, run), abs=1e-6)]


def test_the_same_command_computes_nothing_again(done, nothing_is_computed, capsys):
    place, facts = done

    assert study(place) == 0
    assert json.loads((place / "out" / "study.json").read_text()) == facts
    assert "| 1 | 1 | cannot tell: 1 run with a value, 5 are needed |" in capsys.readouterr().out


def test_a_study_draws_its_effects(done):
    assert (done[0] / "out" / "attacks_effects.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a study: attacks"),
        (["atacks"], "unknown study 'atacks'; did you mean 'attacks'?"),
        (["attacks"], "adv.study.models"),
        (["attacks", "adv.study.models", "['resnet19']"], "resnet19"),
        (
            ["attacks", "adv.study.models", "['tiny']", "adv.study.orders", "2"],
            "adv.study.orders 1",
        ),
        (
            ["attacks", "adv.study.models", "['tiny']", "adv.study.calibration", "none.json"],
            "cannot read 'none.json'",
        ),
    ],
)
def test_what_is_wrong_is_said(arguments, said, capsys):
    assert cli.main(["study", *arguments]) == errors.ConfigError.exit_code
    assert said in capsys.readouterr().err


def test_each_seed_has_its_batch_orders(tmp_path, monkeypatch):
    """A learned attack draws its batches by train.seed; the networks of a seed stay the same."""
    monkeypatch.setattr(study_module, "trained_models", lambda cfg, seed: [f"of {seed}"])
    seen = []

    def run(cfg, seed, specs):
        seen.append((seed, cfg.train.seed, Path(cfg.data.save_dir).name, specs))
        return [Case(universal.TAKES, "a", seed, 0.1, 0.2 + 0.01 * cfg.train.seed / 1000)]

    cfg = default_config()
    cfg.data.save_dir, cfg.adv.study.models = str(tmp_path), ["a=tiny", "b=tiny"]
    cfg.data.sources, cfg.data.targets = ["virtual_a"], ["virtual_a", "virtual_c"]
    cfg.adv.study.seeds, cfg.adv.study.orders = [1, 2], 3
    study_module.run_study(cfg, "universal", run)
    assert [one[:3] for one in seen] == [
        (1, 1, "seed1"),
        (1, 1001, "seed1_order2"),
        (1, 2001, "seed1_order3"),
        (2, 2, "seed2"),
        (2, 1002, "seed2_order2"),
        (2, 2002, "seed2_order3"),
    ]
    assert {tuple(one[3]) for one in seen} == {("of 1",), ("of 2",)}
    facts = json.loads((tmp_path / "study.json").read_text())
    assert [(c["seed"], c["order"]) for c in facts["cases"]] == [
        (seed, order) for seed in (1, 2) for order in range(3)
    ]
    assert "| 6 (2 seeds, 3 orders) | cannot tell: no calibration" in (
        tmp_path / "study.md"
    ).read_text().replace(" of these networks", "")


def test_a_calibration_takes_the_config_of_a_study_with_orders(tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "trained_models", lambda cfg, seed: [])
    seen = []
    cfg = default_config()
    cfg.merge_from_file(str(Path(__file__).parents[2] / "configs/study/universal.yaml"))
    cfg.data.save_dir, cfg.data.targets = str(tmp_path), ["virtual_a"]
    assert cfg.adv.study.orders > 1
    study_module.run_study(cfg, "calibration", lambda cfg, seed, specs: seen.append(seed) or [])
    assert seen == cfg.adv.study.seeds


def test_a_plugin_s_claims_need_no_declaration(tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "trained_models", lambda cfg, seed: [])
    claim = Claim("mine", ())
    cfg = default_config()
    cfg.data.save_dir, cfg.adv.study.models = str(tmp_path), ["a=tiny"]
    cfg.adv.study.seeds = [1, 2, 3, 4, 5]
    with monkeypatch.context() as patch:
        patch.setattr(STUDIES, "facts", lambda name: {"title": "Mine"})
        study_module.run_study(
            cfg, "mine", lambda cfg, seed, specs: [Case(claim, "", seed, 0, 0.1)]
        )
    text = (tmp_path / "study.md").read_text()
    assert "| mine | - | +10.0 (+10.0 to +10.0) | 0.0 | 1 | 5 | holds |" in text
