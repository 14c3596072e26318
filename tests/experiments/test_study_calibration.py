"""The calibration in a toy form, and what it says of hand-made numbers."""

import json

import pytest
import toys

from torchreid_adv import cli, errors
from torchreid_adv.experiments import calibration as facts
from torchreid_adv.experiments.claims import Reading

MODELS = ["a=tiny_classifier", "b=tiny"]


def study(place, *pairs):
    toy = ["adv.study.models", repr(MODELS), "adv.attack.eps", "2", "adv.schedule.warmup", "0"]
    toy += ["adv.start.identities", "6", "adv.start.epochs", "2", "adv.start.half_size", "1"]
    toy += ["adv.start.warmup", "1", "adv.start.batch", "8"]
    return toys.study("calibration", place, *toy, *pairs)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    assert study(place) == 0
    return place, json.loads((place / "out" / "study.json").read_text())


def table(readings, title):
    return {(r["row"], r["column"]): r["value"] for r in readings if r["table"] == title}


def mAP(place, run, kind="adversarial"):
    path = place / "out/seed1" / run / "results.json"
    return json.loads(path.read_text())["targets"]["virtual_a"][kind]["mAP"]


def test_every_question_is_answered(done):
    text = (done[0] / "out" / "study.md").read_text()
    for fact in facts.FACTS:
        assert f"| {fact.question} |" in text
    assert (done[0] / "out" / "calibration_ranges.png").stat().st_size > 10_000


def test_a_number_is_that_of_its_run(done):
    place, content = done
    gallery = table(content["readings"], facts.GALLERY["ifgsm"])
    run = "gallery/attacks/a-2/ifgsm-eps2"
    kept = mAP(place, run) / mAP(place, run, "clean")
    assert gallery["a-2", "a-2"] == pytest.approx(kept, abs=1e-6)
    assert set(gallery) == {
        *((x, y) for x in ("a", "b", "a-2", "b-2") for y in ("a", "b", "a-2", "b-2")),
        *(("a-2+b", y) for y in ("a", "b-2")),
        *(("b-2+a", y) for y in ("b", "a-2")),
    }


def test_networks_of_an_architecture_share_a_start_and_differ(done):
    place, _ = done
    logs = sorted((place / "data" / "models").glob("tiny_classifier-*/train.log*"))
    starts = [
        line for log in logs for line in log.read_text().splitlines() if "load_weights" in line
    ]
    weights = {line.split("load_weights:")[1].strip() for line in starts}
    assert len(logs) == 3  # the start, and two networks
    assert len(weights - {"", "''"}) == 1


def test_the_same_command_computes_nothing_again(done, nothing_is_computed):
    place, content = done
    assert study(place) == 0
    assert json.loads((place / "out" / "study.json").read_text()) == content


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["data.targets", "['virtual_a', 'virtual_c_long']"], "tests on one data set"),
        (["adv.study.models", "['a-2=tiny', 'b=tiny_classifier']"], "calls a network 'a-2'"),
        (["adv.start.sources", "['virtual_a']"], "adv.start.sources names 'virtual_a'"),
        (["adv.start.sources", "['virtual_x']"], "unknown data set 'virtual_x'"),
        (["adv.start.warmup", "2"], "leaves none of the 2 epochs"),
    ],
)
def test_what_is_wrong_is_said(pairs, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "torchreid_adv.experiments.study.trained_weights", lambda cfg: tmp_path / "none.pth"
    )
    monkeypatch.setattr("torchreid_adv.experiments.study.start_weights", lambda cfg, spec: "")
    assert study(tmp_path, *pairs) == errors.ConfigError.exit_code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("pairs", [[], ["adv.study.models", "['tiny']"]])
def test_the_start_command_needs_networks_and_data_sets(pairs, capsys):
    line = ["start", *pairs, "adv.plugins", "['scripts.tiny_model']"]
    assert cli.main(line) == errors.ConfigError.exit_code
    assert "adv.start.sources; one of the two is empty" in capsys.readouterr().err


NUMBERS = {  # attacked, tested -> share kept under I-FGSM and under MI-FGSM
    ("a", "a"): (0.01, 0.02),
    ("a-2", "a-2"): (0.03, 0.04),
    ("a", "a-2"): (0.70, 0.60),
    ("a-2", "a"): (0.60, 0.58),
    ("a", "b"): (0.90, 0.80),
    ("a-2", "b"): (0.88, 0.86),
    ("a-2", "b-2"): (0.9, 0.9),
    ("b-2", "b-2"): (0.5, 0.5),
    ("b-2", "a-2"): (0.5, 0.5),
    ("b", "a"): (0.80, 0.70),
    ("a-2+b", "a"): (0.55, 0.75),
}


def hand_made(seed=1, more=0.0):
    readings = []
    for (row, column), (plain, momentum) in NUMBERS.items():
        for attack, value in (("ifgsm", plain), ("mifgsm", momentum)):
            readings.append(Reading(facts.GALLERY[attack], row, column, seed, value + more))
    for attack, value in {"ifgsm": 0.03, "sma": 0.04, "lta": 0.07}.items():
        readings.append(Reading(facts.QUERY, "a", attack, seed, value))
    return readings


def test_answers_by_hand():
    found = {answer.fact.question: answer for answer in facts.answers(hand_made())}
    by_hand = {
        "white-box I-FGSM, gallery: mAP kept": ((0.01 + 0.03 + 0.5) / 3, 3),
        "gray-box I-FGSM: mAP kept": (0.65, 2),
        "gray-box MI-FGSM: takes more than I-FGSM by": (0.06, 2),
        "black-box MI-FGSM: mAP kept": ((0.80 + 0.86 + 0.9 + 0.5 + 0.70) / 5, 5),
        "LTA, queries: keeps more than SMA by": (0.03, 1),
        "ensemble, I-FGSM: takes more than its better member by": (0.05, 1),
        "ensemble, MI-FGSM: takes more than its better member by": (-0.17, 1),
    }
    for question, (value, cases) in by_hand.items():
        assert found[question].value == pytest.approx(value), question
        assert found[question].cases == cases
    assert "clean mAP" not in found


def test_a_mean_over_seeds_is_of_the_seeds_means():
    found = {a.fact.question: a for a in facts.answers(hand_made() + hand_made(2, 0.1))}
    answer = found["gray-box I-FGSM: mAP kept"]
    assert answer.seeds == pytest.approx((0.65, 0.75))
    assert (answer.value, answer.cases) == (pytest.approx(0.70), 4)


@pytest.mark.parametrize(
    ("value", "inside"),
    [(0.529, False), (0.531, True), (0.7, True), (0.809, True), (0.811, False)],
)
def test_a_range_is_widened_by_two_points(value, inside):
    fact = next(f for f in facts.FACTS if f.question == "gray-box I-FGSM: mAP kept")
    assert fact.holds(value) is inside
    section = facts.summary([Reading(facts.GALLERY["ifgsm"], "a", "a-2", 1, value)])
    assert ("**outside**" not in section.tables[0].markdown()) is inside
    assert ("do not behave like real weights" not in " ".join(section.text)) is inside


def test_ranges_are_what_was_measured_on_real_weights():
    ranges = {fact.question: (fact.low, fact.high) for fact in facts.FACTS}
    kept = (0.71, 0.79, 0.58, 0.55)  # A to B and back, on crops and on virtual_a
    assert ranges["gray-box I-FGSM: mAP kept"] == (min(kept), max(kept))
    kept_by_momentum = (0.74, 0.67, 0.48, 0.43)
    assert ranges["gray-box MI-FGSM: mAP kept"] == (min(kept_by_momentum), max(kept_by_momentum))
    gains = [plain - momentum for plain, momentum in zip(kept, kept_by_momentum, strict=True)]
    momentum = ranges["gray-box MI-FGSM: takes more than I-FGSM by"]
    assert momentum == pytest.approx((min(gains), max(gains)))
    white = ranges["white-box I-FGSM, gallery: mAP kept"]
    assert white == pytest.approx((0.8 / 70.1, 1.3 / 69.2), abs=5e-4)
