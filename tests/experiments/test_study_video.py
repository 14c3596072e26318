"""The studies of the video network in a toy form, on a ResNet of eight channels."""

import json
from pathlib import Path

import pytest
import toys
import yaml

from torchreid_adv import config, errors
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.experiments.claims import Case
from torchreid_adv.experiments.papers import vi_video
from torchreid_adv.experiments.papers.vi_video import ROWS
from torchreid_adv.experiments.studies.video import ADDS, PARTS_APART, claims, of_factor

ROOT = Path(__file__).parents[2]
TARGETS = ("virtual_vi_i2v", "virtual_vi_v2i")
pytestmark = pytest.mark.usefixtures("tiny_resnet18")


def study(name, place, *pairs):
    toy = ["train.batch_size", "8", "adv.virtual.frames", "2", "adv.video.min_length", "2"]
    toy += ["adv.study.models", "['r=self_attack_video_resnet18']", "adv.study.stills", "''"]
    return toys.study(name, place, *toy, *pairs, file="video")


@pytest.fixture(scope="module")
def done(tmp_path_factory, tiny_resnet18):
    place = tmp_path_factory.mktemp("study")
    assert study("video", place) == 0
    return place, json.loads((place / "out" / "study.json").read_text())


def test_every_row_is_searched_in_both_directions(done):
    place, facts = done
    found = {(r["table"], r["row"], r["column"]): r["value"] for r in facts["readings"]}
    titles = [row.title for row in ROWS.values()]
    assert {key for key in found if key[0] == "Rank-1"} == {
        ("Rank-1", title, target) for title in titles for target in TARGETS
    }
    for key, row in ROWS.items():
        run = json.loads((place / "out/seed1/r" / key / "results.json").read_text())
        assert run["asked"]["config"]["adv.video.guidance"] == row.guidance
        for target in TARGETS:
            assert found["mAP", row.title, target] == run["found"][target]["mAP"]
    weights = {
        json.loads(path.read_text())["asked"]["config"]["model.load_weights"]
        for path in (place / "out/seed1/r").glob("*/results.json")
    }
    assert len(weights) == len(ROWS)


def test_parts_of_the_descriptor_are_searched_apart(done):
    place, facts = done
    table = "mAP by parts of the descriptor"
    found = {(r["row"], r["column"]): r["value"] for r in facts["readings"] if r["table"] == table}
    guided = [row.title for row in ROWS.values() if row.guidance != "none"]
    expected = {f"{title}: {PARTS_APART['defender']}" for title in guided}
    expected |= {f"{row.title}: {PARTS_APART['stripes']}" for row in ROWS.values()}
    assert set(found) == {(row, target) for row in expected for target in TARGETS}
    for key, row in ROWS.items():
        run = json.loads((place / "out/seed1/r" / key / "stripes/results.json").read_text())
        assert run["asked"]["config"]["adv.video.descriptor"] == "stripes"
        for target in TARGETS:
            value = run["found"][target]["mAP"]
            assert found[f"{row.title}: {PARTS_APART['stripes']}", target] == value
    assert len([*(place / "data" / "models").glob("*/key.json")]) == len(ROWS)  # none trained anew


def test_a_row_has_the_parts_that_its_config_has():
    for key, row in ROWS.items():
        text = (ROOT / "configs" / "video" / f"{key}.yaml").read_text()
        own = yaml.safe_load(text)["adv"]["video"]
        assert (row.attack, row.defense, row.guidance) == (
            own["attack"],
            own["defense"],
            own["guidance"],
        )
        assert f"{row.title}.".replace("+", " + ") in text.replace(
            " without the LSTM over body parts", "*"
        ).replace(", the whole", "")


def test_the_same_command_computes_nothing_again(done, nothing_is_computed, capsys):
    place, facts = done
    assert study("video", place) == 0
    assert json.loads((place / "out" / "study.json").read_text()) == facts
    printed = capsys.readouterr().out
    assert "| The whole network adds mAP to the baseline | +6.2 (vi_video.table1) |" in printed
    assert "trained on 8 virtual people of virtual_vi_i2v for 1 epochs" in printed


@pytest.mark.slow
def test_other_people_are_searched_again(done):
    """Weights are the same, because training sees nothing of test people; scores are not."""
    place, facts = done
    assert study("video", place, "adv.virtual.test_identities", "5") == 0
    again = json.loads((place / "out" / "study.json").read_text())
    assert again["readings"] != facts["readings"]
    assert len([*(place / "data" / "models").glob("*/key.json")]) == len(ROWS)


def test_claims_by_hand():
    def measures(value):
        return {"v": {"mAP": value, "chance": 0.1, "cmc": {"1": 0.0}}}

    scores = {key: measures((20 + n) / 100) for n, key in enumerate(ROWS)}
    found = {c.claim.sentence: (c.smaller, c.larger) for c in claims(scores, 1)}
    assert len(found) == 1 + len(ADDS)
    assert found["The baseline ranks better than a random order"] == (0.1, 0.2)
    assert found["ASAM alone takes mAP from the baseline"] == (0.21, 0.2)
    assert found["LSTM_spa adds mAP to the rest"] == (0.26, 0.27)


def test_weights_are_changed_one_at_a_time_and_drawn(done):
    place, _ = done
    pairs = ["adv.study.weights", "[[9.0], [], [0.5, 5.0]]", "data.save_dir", str(place / "w")]
    assert study("video_weights", place, *pairs) == 0
    facts = json.loads((place / "w" / "study.json").read_text())
    rows = {(r["table"], r["row"]) for r in facts["readings"]}
    assert {row for table, row in rows if table == "lambda 1: mAP"} == {"1", "9"}
    assert {row for table, row in rows if table == "lambda 2: Rank-1"} == {"0.5"}
    assert {row for table, row in rows if table == "lambda 3: mAP"} == {"0.5", "5"}
    run = json.loads((place / "w/seed1/r/lambda3_5/results.json").read_text())
    assert run["asked"]["config"]["adv.video.weights"] == [1.0, 0.5, 5.0]
    assert (place / "w" / "video_weights_curves.png").stat().st_size > 10_000
    cases = [c["name"] for c in facts["cases"]]
    assert cases == [f"{value}, {t}" for value in ("9", "5") for t in TARGETS]


def test_a_weight_is_held_against_the_printed_one():
    scores = {
        value: {"v": {"mAP": mean, "cmc": {"1": 0.5}}} for value, mean in ((0.1, 0.3), (1.0, 0.2))
    }
    (case,) = [one for one in of_factor(0, 1.0, scores, 1) if isinstance(one, Case)]
    assert (case.smaller, case.larger) == (0.3, 0.2)
    assert case.claim.sentence.startswith("Lambda 1 as set")


def test_the_backbone_is_trained_once_on_stills(monkeypatch):
    asked = []
    monkeypatch.setattr(vi_video, "trained_weights", lambda own: asked.append(own) or "w.pth")
    cfg = default_config()
    cfg.merge_from_file(str(ROOT / "configs/study/video.yaml"))
    vi_video.started(cfg)
    vi_video.started(cfg)
    (own,) = asked
    assert cfg.adv.video.backbone == "w.pth"
    assert (own.model.name, own.data.type, own.data.sources) == ("resnet18", "image", ["virtual_a"])
    assert own.train.max_epoch == cfg.adv.study.still_epochs
    assert own.data.transforms == [*cfg.data.transforms, "grayscale"]
    config.forget()


@pytest.mark.parametrize(
    ("name", "pairs", "message"),
    [
        ("video", ("adv.engine", "''", "model.name", "resnet18"), "tracklets of two modalities"),
        ("video_weights", ("adv.study.weights", "[[1.0], [0.5]]"), "three lists of positive"),
        (
            "video",
            ("adv.study.models", "['a=resnet50']", "adv.study.stills", "virtual_a"),
            "names 'resnet50', which has no backbone",
        ),
    ],
)
def test_what_cannot_be_is_a_sentence(name, pairs, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torchreid_adv.experiments.study.trained_weights", lambda cfg: "w")
    assert study(name, tmp_path, *pairs) == errors.ConfigError.exit_code
    assert message in capsys.readouterr().err
