"""Effects, intervals and verdicts, by hand and against SciPy; what a study keeps and reads back."""

import json
import math
import statistics

import numpy as np
import pytest
from scipy import stats

from torchreid_adv import errors
from torchreid_adv.experiments.calibrated import NOT_CALIBRATED, Answered, Calibrated
from torchreid_adv.experiments.claims import Case, Claim, Printed, PrintedCells, Reading, spread
from torchreid_adv.experiments.study_file import StudyFile, read_study, write_study
from torchreid_adv.experiments.verdicts import Effect, Verdict, verdict_table, verdicts
from torchreid_adv.registry import STUDIES
from torchreid_adv.report.paper_table import paper_table

CLAIM = Claim("c", ())
T_975 = {2: 4.303, 4: 2.776, 7: 2.365, 9: 2.262}  # degrees of freedom -> quantile, as printed
T_800 = {2: 1.061, 4: 0.941, 7: 0.896, 9: 0.883}


def cases(*effects, claim=CLAIM, base=0.5):
    """One case a seed."""
    return [Case(claim, "a", seed, base, base + effect) for seed, effect in enumerate(effects)]


def verdict(*effects, claim=CLAIM, calibrated=NOT_CALIBRATED, base=0.5):
    return Verdict.of(claim, cases(*effects, claim=claim, base=base), calibrated)


@pytest.mark.parametrize("freedom", T_975)
def test_the_interval_is_student_s(freedom):
    drawn = np.random.default_rng(freedom).normal(0.03, 0.02, freedom + 1)
    effect = Effect(tuple(drawn))
    error = statistics.stdev(drawn) / math.sqrt(len(drawn))
    low, high = effect.interval
    assert high - low == pytest.approx(2 * T_975[freedom] * error, rel=1e-3)
    assert effect.visible == pytest.approx((T_975[freedom] + T_800[freedom]) * error, rel=1e-3)
    assert (low, high) == pytest.approx(tuple(stats.ttest_1samp(drawn, 0).confidence_interval()))


@pytest.mark.parametrize("runs", [5, 6, 10, 30])
def test_the_visible_effect_is_seen_four_times_in_five(runs):
    """The exact power by the noncentral distribution, of an effect in units of the spread."""
    values = np.linspace(-1, 1, runs)
    effect = Effect(tuple(values / values.std(ddof=1)))
    shift = effect.visible * math.sqrt(runs)
    limit = stats.t.ppf(0.975, runs - 1)
    power = stats.nct.sf(limit, runs - 1, shift) + stats.nct.cdf(-limit, runs - 1, shift)
    assert power == pytest.approx(0.8, abs=0.01)


def test_cases_of_a_run_are_one_value():
    """Two cases in each of two runs: four values, and two runs."""
    found = [
        Case(CLAIM, name, seed, 0.0, value)
        for seed, values in ((1, (0.1, 0.3)), (2, (0.2, 0.6)))
        for name, value in zip("ab", values, strict=True)
    ]
    assert Effect.of(found).runs == pytest.approx((0.2, 0.4))
    with_orders = [*found, Case(CLAIM, "a", 1, 0.0, 0.7, order=1)]
    assert Effect.of(with_orders).runs == pytest.approx((0.2, 0.7, 0.4))


def test_a_run_without_a_value_is_left_out():
    found = [*cases(0.1, 0.2), Case(CLAIM, "b", 1, math.nan, 0.5)]
    assert Effect.of(found).runs == pytest.approx((0.1,))


@pytest.mark.parametrize(
    ("effects", "word"),
    [
        ((0.05, 0.06, 0.04, 0.05, 0.055), "holds"),
        ((-0.05, -0.06, -0.04, -0.05, -0.055), "opposite"),
        ((0.001, -0.002, 0.003, 0.0, 0.001), "no effect"),
        ((0.006, 0.0065, 0.007, 0.006, 0.006), "no effect"),  # above 0, and within the margin
        ((0.0, 0.0, 0.0, 0.0, 0.0), "no effect"),
        ((0.05, -0.06, 0.04, 0.0, 0.02), "cannot tell"),
        ((0.02, 0.021, 0.019, 0.02), "cannot tell"),  # four runs
        ((), "cannot tell"),
    ],
)
def test_one_of_four_words_is_said(effects, word):
    found = verdict(*effects)
    assert found.word == word
    assert bool(found.reason) is (word == "cannot tell")
    assert f"| {found.text} |" in verdict_table([found])


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (verdict(), "not run"),
        (verdict(0.1), "1 run with a value, 5 are needed"),
        (verdict(0.1, 0.1, math.nan), "2 runs with a value, 5 are needed"),
        (verdict(0.3, -0.1, 0, 0.2, 0), "the interval includes 0 and more than the margin"),
        (
            verdict(*[0.1] * 5, claim=Claim("c", (), floor=0.4), base=0.1),
            "networks reach 20.0 % mAP, 40 % are needed",
        ),
    ],
)
def test_a_verdict_that_is_missing_has_a_reason(found, reason):
    assert found.text == f"cannot tell: {reason}"


def test_a_floor_is_for_the_larger_of_both_values():
    """A row that is worse than its baseline is one, if the baseline is well trained."""
    claim = Claim("c", (), floor=0.4)
    assert verdict(*[-0.1] * 5, claim=claim, base=0.45).word == "opposite"


def answer(question, inside):
    return Answered(question, 0.5, 0.1, 0.2, inside)


def test_a_claim_rests_on_what_it_names_and_on_nothing_else():
    known = Calibrated(
        (
            answer("gray-box I-FGSM: mAP kept", True),
            answer("white-box SMA, queries: mAP kept", False),
        )
    )
    word = {
        names: verdict(*[0.1] * 5, claim=Claim("c", names), calibrated=known).text
        for names in ((), ("gray-box",), ("gray-box", "white-box SMA"), ("black-box",))
    }
    assert word[()] == word[("gray-box",)] == "holds"
    assert word["gray-box", "white-box SMA"] == (
        "cannot tell: calibration fails: white-box SMA, queries: mAP kept"
    )
    assert word[("black-box",)] == "cannot tell: the calibration has no answer on black-box"
    alone = verdict(*[0.1] * 5, claim=Claim("c", ("gray-box",)))
    assert alone.text == "cannot tell: no calibration of these networks"


def test_the_table_has_all_that_decides():
    paper = Printed(("bai2019.table2",), lambda mAP: mAP(attack="fgsm", attacked="B1", tested="B1"))
    first = verdict(*[0.05] * 4, 0.051, claim=Claim("first", (), paper, margin=0.02))
    orders = [Case(CLAIM, "a", seed, 0.1, 0.2, order) for seed in (1, 2, 3) for order in (0, 1)]
    second = Verdict.of(CLAIM, orders, NOT_CALIBRATED)
    text = verdict_table([first, second]).splitlines()
    assert text[0] == "| claim | paper | here | visible from | margin | runs | verdict |"
    assert text[2] == (
        "| first | +7.1 (bai2019.table2) | +5.0 (+5.0 to +5.1) | 0.1 | 2 | 5 | holds |"
    )
    assert text[3].endswith("| 1 | 6 (3 seeds, 2 orders) | holds |")


def test_every_effect_of_a_paper_is_read_from_its_tables():
    claims = [claim for name in STUDIES for claim in STUDIES.facts(name).get("claims", ())]
    printed = [claim.paper.effect for claim in claims if claim.paper]
    assert len(printed) > 30
    assert all(-1 < effect < 1 for effect in printed)


def test_some_effects_of_papers_by_hand():
    """Written out from the printed tables."""
    effects = {
        claim.sentence: claim.paper.effect
        for name in STUDIES
        for claim in STUDIES.facts(name).get("claims", ())
        if claim.paper
    }
    by_hand = {
        "White-box LTA leaves less mAP than SMA": 0.111 - 0.096,
        "JAD costs at most 3 points of clean mAP": 0.03 - (0.722 - 0.703),
        "I-FGSM and SMA: CF keeps more mAP than N": (16.7 + 19.6 - 13 - 20) / 200,
        "LTA: CF keeps more mAP than N": (18.5 - 16.1) / 100,
        "M(both) keeps more mAP than adversarial training": 0.317 - 0.102,
        "Both parts leave less mAP on the source than the delta alone": (
            (0.026 - 0.023) + (0.006 - 0.004)
        )
        / 2,
        "The whole network adds mAP to the baseline": (49.49 - 43.23 + 51.76 - 45.59) / 200,
        "White-box I-FGSM leaves less mAP than FGSM": (
            7.054 - 0.367 + 10.47 - 0.458 + 9.178 - 0.519 + 4.32 - 0.211
        )
        / 400,
    }
    for sentence, effect in by_hand.items():
        assert effects[sentence] == pytest.approx(effect), sentence


def test_a_cell_that_is_not_printed_is_an_error():
    with pytest.raises(LookupError, match="has no cell"):
        PrintedCells(paper_table("bai2019.table2"))(attack="sma")


def test_sentences_of_a_study_differ():
    for name in STUDIES:
        sentences = [claim.sentence for claim in STUDIES.facts(name).get("claims", ())]
        assert len(set(sentences)) == len(sentences)


def kept(tmp_path, found):
    result = StudyFile("attacks", {"train": {"lr": 0.1}}, [Reading("t", "r", "c", 1, 0.5)], found)
    write_study(tmp_path, result, [one.to_dict() for one in verdicts([CLAIM], found)])
    return tmp_path / "study.json"


def test_a_study_s_file_is_json_whatever_it_found(tmp_path):
    path = kept(tmp_path, [*cases(0.1, 0.2), Case(CLAIM, "b", 3, math.nan, 0.5)])
    content = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(word))
    assert content["cases"][2] == {
        "claim": "c",
        "name": "b",
        "seed": 3,
        "smaller": None,
        "larger": 0.5,
        "order": 0,
    }
    assert content["verdicts"][0]["effects"] == pytest.approx([0.1, 0.2])


def test_what_is_read_back_is_what_was_written(tmp_path):
    found = [*cases(0.1, 0.2), Case(CLAIM, "b", 3, 0.4, 0.5, order=2)]
    again = read_study(kept(tmp_path, found), [CLAIM])
    assert again.cases == found
    assert again.readings == [Reading("t", "r", "c", 1, 0.5)]
    assert again.config == {"train": {"lr": 0.1}}


OLD = {"study": "attacks", "config": {}, "comparisons": [{"claim": "c", "smaller": 0.1}]}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (json.dumps(OLD), "whose comparisons have no separate runs"),
        (json.dumps({"format": 2, **OLD, "cases": [{"claim": "d"}]}), 'claimed that "d"'),
        (json.dumps({"format": 3, **OLD}), "a later version of this package wrote"),
        ("{}", "is not a study.json"),
        ("[", "cannot read"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "study.json"
    path.write_text(content)
    with pytest.raises(errors.ConfigError, match=sentence):
        read_study(path, [CLAIM])


def test_a_file_of_an_earlier_version_with_readings_alone_is_read(tmp_path):
    path = tmp_path / "study.json"
    reading = {"table": "t", "row": "r", "column": "c", "seed": 1, "value": 0.5, "unit": "percent"}
    path.write_text(json.dumps({"study": "calibration", "config": {}, "readings": [reading]}))
    assert read_study(path).readings == [Reading("t", "r", "c", 1, 0.5)]


def test_a_spread_is_mean_and_standard_deviation():
    values = (0.11, 0.25, 0.18)
    assert spread(values) == f"18.0 ± {100 * statistics.stdev(values):.1f}"
    assert spread([0.5]) == "50.0"
    assert spread([math.nan]) == "-"
