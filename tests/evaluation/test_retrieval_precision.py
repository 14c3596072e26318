import numpy as np
import pytest

from torchreid_adv.evaluation.metrics import match_curve, scores


def draw_ranks(generator, gallery=200):
    """Draw ranks of the positives of 50 queries, some without any, in no order."""
    counts = generator.integers(0, 8, 50)
    ranks = [generator.choice(gallery, count, replace=False) for count in counts]
    return np.concatenate(ranks).astype(np.int64), np.concatenate([[0], np.cumsum(counts)]), ranks


def test_the_trapezoid_is_never_above_the_standard_rule():
    ranks, starts, _ = draw_ranks(np.random.default_rng(0))
    standard, trapezoid = (
        scores(ranks, starts, ap_rule=rule)[0] for rule in ("standard", "trapezoid")
    )
    valid = ~np.isnan(standard)
    assert (trapezoid[valid] <= standard[valid]).all()
    assert (trapezoid[valid] < standard[valid]).any()


@pytest.mark.parametrize("ap_rule", ["standard", "trapezoid"])
def test_a_perfect_list_scores_one(ap_rule):
    precision, first, penalty = scores(np.array([2, 0, 1]), np.array([0, 3]), ap_rule=ap_rule)
    assert (precision[0], first[0], penalty[0]) == (1, 0, 1)


def test_scores_equal_a_loop():
    ranks, starts, lists = draw_ranks(np.random.default_rng(1))
    precision, first, penalty = scores(ranks, starts, ap_rule="standard")
    for query, own in enumerate(map(sorted, lists)):
        if not own:
            assert np.isnan([precision[query], penalty[query]]).all()
            assert first[query] == -1
            continue
        relevant = np.zeros(200)
        relevant[own] = 1
        at = np.cumsum(relevant) / np.arange(1, 201)
        assert precision[query] == pytest.approx((at * relevant).sum() / len(own), abs=1e-15)
        assert first[query] == own[0]
        assert penalty[query] == len(own) / (own[-1] + 1)


def test_random_rankings_give_the_known_chance_level():
    # 15 positives among 19,732 images: 0.104 % with the trapezoid, 0.130 % with the standard rule
    generator = np.random.default_rng(0)
    lists = [generator.choice(19732, 15, replace=False) for _ in range(2000)]
    starts = np.arange(0, 15 * 2000 + 1, 15)
    for rule, chance in (("trapezoid", 0.00104), ("standard", 0.00130)):
        mean = scores(np.concatenate(lists), starts, ap_rule=rule)[0].mean()
        assert mean == pytest.approx(chance, rel=0.05)


def test_the_match_curve_counts_first_matches():
    assert match_curve(np.array([0, 2, 2, 9]), 4).tolist() == [0.25, 0.25, 0.75, 0.75]
