"""Verdicts on claims, by hand."""

import statistics

from torchreid_adv.report.claims import Comparison, markdown, spread, verdicts


def cases(*rows):
    return [Comparison("c", str(i), seed, a, b) for i, (seed, a, b) in enumerate(rows)]


def test_a_claim_holds_only_in_all_cases():
    assert verdicts(cases((1, 0.1, 0.2), (2, 0.3, 0.3)))[0].word == "holds"


def test_a_claim_that_holds_for_the_mean_of_every_seed_holds_on_average():
    verdict = verdicts(cases((1, 0.1, 0.4), (1, 0.3, 0.2), (2, 0.1, 0.2)))[0]
    assert (verdict.word, verdict.held, verdict.cases) == ("on average", 2, 3)
    assert verdict.smaller == (0.2, 0.1)


def test_seeds_that_disagree_are_mixed_and_none_is_does_not_hold():
    assert verdicts(cases((1, 0.1, 0.2), (2, 0.3, 0.2)))[0].word == "mixed"
    assert verdicts(cases((1, 0.3, 0.2), (2, 0.3, 0.2)))[0].word == "does not hold"


def test_the_table_shows_mean_and_spread_over_seeds():
    text = markdown(cases((1, 0.1, 0.2), (2, 0.2, 0.2)))
    assert "| c | 15.0 ± 7.1 | 20.0 ± 0.0 | 2 of 2 | holds |" in text
    values = (0.11, 0.25, 0.18)
    assert spread(values) == f"18.0 ± {100 * statistics.stdev(values):.1f}"
