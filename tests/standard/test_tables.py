"""Aggregation: worst per query, then the mean; intervals; chance; who beat whom."""

import itertools

import numpy as np
import pytest
import torch

from torchreid_adv.distances import build_distance
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.evaluation.metrics import expected_precision
from torchreid_adv.models import Features
from torchreid_adv.standard.scores import (
    QueryScores,
    Table,
    interval,
    median_breaking_bound,
    rising,
    summary,
)
from torchreid_adv.standard.versions import LITE, PLUS, STANDARD, version_of

NAN = float("nan")


def scores(ap, first, draws=()):
    """Scores of queries whose first match is at these 0-based ranks."""
    first = np.array([[NAN if f is None else float(f < k) for k in (1, 5, 10)] for f in first])
    return QueryScores(np.array(ap, float), first, draws)


@pytest.fixture
def table():
    clean = scores([1.0, 0.8, 0.6, NAN], [0, 0, 1, None])
    found = {
        "push": scores([0.2, 0.9, 0.1, NAN], [6, 0, 20, None]),
        "square": scores([0.4, 0.3, NAN, NAN], [0, 5, None, None]),
    }
    return Table(np.array([7, 7, 8, 9]), clean, found)


def test_the_mean_is_of_minima_and_the_clean_image_is_among_them(table):
    assert table.worst()[:3].tolist() == [0.2, 0.3, 0.1]
    assert table.mean_precision() == pytest.approx(0.2)
    assert table.mean_precision(["push"]) == pytest.approx((0.2 + 0.8 + 0.1) / 3)
    assert table.mean_precision(()) == pytest.approx(0.8)
    assert table.by() == ["push", "square", "push", "clean"]


def test_robust_figures_are_never_above_those_of_clean_images_or_of_one_attack():
    draws = np.random.default_rng(0)
    for _ in range(200):
        count = int(draws.integers(1, 12))
        ap, first = draws.random((4, count)), draws.integers(0, 12, (4, count))
        run = draws.random((4, count)) < 0.7
        run[0] = True  # clean
        clean, *found = (
            scores(
                np.where(held, values, NAN),
                [r if h else None for r, h in zip(ranks, held, strict=True)],
            )
            for values, ranks, held in zip(ap, first, run, strict=True)
        )
        table = Table(np.arange(count), clean, {f"attack {n}": one for n, one in enumerate(found)})
        for names in ((), *([name] for name in table.scores)):
            assert table.mean_precision() <= table.mean_precision(names)
            for k, share in table.survival().items():
                assert share <= table.survival(names)[k]
        for number, one in enumerate(found):
            if run[number + 1].all():
                assert table.mean_precision() <= float(one.ap.mean()) + 1e-12


def test_a_rank_survives_only_if_it_does_under_all_attacks(table):
    assert table.survival() == {"1": 0.0, "5": 0.0, "10": pytest.approx(2 / 3)}
    assert table.survival(()) == {"1": pytest.approx(2 / 3), "5": 1.0, "10": 1.0}


def test_an_attack_is_compared_on_the_queries_it_was_run_on(table):
    facts = summary(table, 50)
    assert facts["queries"] == 3
    assert facts["skipped"] == 1
    assert facts["attacks"]["square"]["queries"] == 2
    assert facts["attacks"]["square"]["before"] == pytest.approx((0.2 + 0.8) / 2)
    assert facts["attacks"]["square"]["mAP"] == pytest.approx(0.35)
    assert facts["wins"] == {"push": {"square": 1}, "square": {"push": 1}}
    assert facts["best_attack"] == "push"


def test_scores_survive_being_written(table):
    again = QueryScores.of(table.clean.to_dict())
    assert np.array_equal(again.ap, table.clean.ap, equal_nan=True)
    assert np.array_equal(again.hits, table.clean.hits, equal_nan=True)


def test_chance_is_the_mean_over_all_orders():
    for positives, valid in ((1, 4), (2, 5), (3, 6), (4, 4)):
        found = []
        for places in itertools.combinations(range(valid), positives):
            found.append(np.mean([(i + 1) / (rank + 1) for i, rank in enumerate(places)]))
        expected = expected_precision(np.array([positives]), np.array([valid]))[0]
        assert expected == pytest.approx(np.mean(found), rel=1e-12)


def test_chance_counts_what_counts_for_a_query():
    def side(pids, camids):
        names = tuple(map(str, range(len(pids))))
        return Features(torch.ones(len(pids), 2), torch.tensor(pids), torch.tensor(camids), names)

    protocol = Protocol(distance=build_distance("euclidean"))
    found = protocol.chances(side([1, 5], [0, 0]), side([1, 1, 2, 3], [0, 1, 0, 0]))
    assert found[0] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)  # 1 right one among 3
    assert np.isnan(found[1])


def test_identities_are_drawn_together():
    """Equal values within people: the interval is that of as many people, not queries."""
    draws = np.random.default_rng(0)
    people = draws.normal(0.5, 0.1, 40)
    pids, values = np.repeat(np.arange(40), 25), np.repeat(people, 25)
    low, high = interval(values, pids, 2000)
    assert (high - low) / 2 == pytest.approx(1.96 * people.std() / 40**0.5, rel=0.1)
    assert interval(values, pids, 2000) == (low, high)


def test_the_median_bound_at_which_the_first_match_is_lost():
    hits = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]], float)
    assert median_breaking_bound(hits, (0, 4, 8)) == 8
    assert median_breaking_bound(hits[:, :1], (0, 4, 8)) is None
    assert rising({0: 0.9, 8: 0.3, 4: 0.25}) == pytest.approx(0.05)


def test_versions_are_what_they_are_published_to_be():
    assert version_of("lite") is LITE
    assert (STANDARD.steps, STANDARD.square, STANDARD.pulls, STANDARD.noise) == (100, 5000, 9, 100)
    assert (LITE.steps, LITE.square, LITE.pulls, LITE.noise, LITE.eot) == (50, 1000, 3, 20, 8)
    assert (PLUS.restarts, STANDARD.restarts, STANDARD.eot, STANDARD.draws) == (5, 1, 20, 10)
    assert STANDARD.eps == LITE.eps == (8, 5)
    with pytest.raises(ConfigError, match="did you mean 'lite'"):
        version_of("lites")
