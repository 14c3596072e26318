"""Verdicts on claims, by hand."""

import json
import math
import statistics

import pytest

from torchreid_adv.experiments.claims import Comparison, markdown, spread, verdicts, write_claims


def cases(*rows):
    return [Comparison("c", str(i), seed, a, b) for i, (seed, a, b) in enumerate(rows)]


def test_a_claim_holds_only_in_all_cases():
    assert verdicts(cases((1, 0.1, 0.2), (2, 0.3, 0.4)))[0].word == "holds"


@pytest.mark.parametrize(
    ("rows", "word", "count"),
    [
        ([(1, 0.0, 0.0)], "tie", "0 of 1, 1 tied"),
        ([(1, 0.0, 0.0), (2, 0.5, 0.5)], "tie", "0 of 2, 2 tied"),
        ([(1, 0.1, 0.2), (2, 0.3, 0.3)], "holds, with ties", "1 of 2, 1 tied"),
        ([(1, 0.3, 0.1), (1, 0.3, 0.3)], "does not hold", "0 of 2, 1 tied"),
        ([(1, 0.3, 0.1), (1, 0.1, 0.3)], "does not hold", "1 of 2"),  # the means tie
        ([(1, 0.1 + 0.2, 0.3)], "tie", "0 of 1, 1 tied"),  # apart by rounding only
        ([(1, math.nan, 0.3), (2, 0.1, 0.3)], "undefined", "1 of 2, 1 undefined"),
        ([(1, 0.1, math.inf)], "undefined", "0 of 1, 1 undefined"),
    ],
)
def test_ties_and_missing_figures_are_never_taken_for_a_claim_that_holds(rows, word, count):
    verdict = verdicts(cases(*rows))[0]
    assert (verdict.word, verdict.count) == (word, count)
    assert word in markdown(cases(*rows))


def test_a_study_s_file_is_json_whatever_it_found(tmp_path):
    write_claims(tmp_path, cases((1, math.nan, 0.3), (1, 0.1, 0.2)), {}, "")
    text = (tmp_path / "study.json").read_text()
    found = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert [one["outcome"] for one in found["comparisons"]] == ["undefined", "holds"]
    assert found["comparisons"][0]["smaller"] is None
    assert found["verdicts"][0]["smaller"] == [0.1]  # the mean of what is defined


def test_nothing_to_say_is_an_empty_table():
    assert verdicts([]) == []
    assert len(markdown([]).splitlines()) == 2


def test_a_claim_that_holds_for_the_mean_of_every_seed_holds_on_average():
    verdict = verdicts(cases((1, 0.1, 0.4), (1, 0.3, 0.2), (2, 0.1, 0.2)))[0]
    assert (verdict.word, verdict.held, verdict.cases) == ("on average", 2, 3)
    assert verdict.smaller == (0.2, 0.1)


def test_seeds_that_disagree_are_mixed_and_none_is_does_not_hold():
    assert verdicts(cases((1, 0.1, 0.2), (2, 0.3, 0.2)))[0].word == "mixed"
    assert verdicts(cases((1, 0.3, 0.2), (2, 0.3, 0.2)))[0].word == "does not hold"


def test_the_table_shows_mean_and_spread_over_seeds():
    text = markdown(cases((1, 0.1, 0.2), (2, 0.2, 0.2)))
    assert "| c | 15.0 ± 7.1 | 20.0 ± 0.0 | 1 of 2, 1 tied | holds, with ties |" in text
    values = (0.11, 0.25, 0.18)
    assert spread(values) == f"18.0 ± {100 * statistics.stdev(values):.1f}"
