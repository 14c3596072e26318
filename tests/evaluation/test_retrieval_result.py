import dataclasses

import numpy as np
import pytest

from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.evaluation import RetrievalResult


def make(**changes):
    values = {
        "image_ids": ("a", "b", "c"),
        "pids": np.array([1, 1, 2]),
        "average_precision": np.array([0.5, np.nan, 0.25]),
        "first_match_rank": np.array([1, -1, 3]),
        "inverse_penalty": np.array([0.5, np.nan, 0.25]),
        "valid": np.array([True, False, True]),
        "cmc": np.array([0.0, 0.5, 0.5] + [1.0] * 17),
    }
    return RetrievalResult(**(values | changes))


def test_means_are_over_valid_queries():
    result = make()
    assert (result.mAP, result.mINP, result.queries, result.skipped) == (0.375, 0.375, 2, 1)
    assert (result.rank(1), result.rank(2), result.rank(20)) == (0.0, 0.5, 1.0)


def test_the_dictionary_is_plain_and_complete():
    measures = make().to_dict()
    assert measures == {
        "mAP": 0.375,
        "cmc": {"1": 0.0, "5": 1.0, "10": 1.0, "20": 1.0},
        "mINP": 0.375,
        "queries": 2,
        "skipped": 1,
        "rerank": None,
    }
    numbers = [measures["mAP"], measures["mINP"], *measures["cmc"].values()]
    assert {type(number) for number in numbers} == {float}
    assert type(measures["queries"]) is type(measures["skipped"]) is int


def test_lines_have_torchreids_form():
    lines = make().lines([1, 20])
    assert lines[:2] == ["mAP: 37.5%", "mINP: 37.5%"]
    assert "CMC curve" in lines
    assert "Rank-1  : 0.0%" in lines
    assert "Rank-20 : 100.0%" in lines
    assert any("1 queries without" in line for line in lines)
    assert make(ap_rule="trapezoid").lines()[-2] == "AP rule: trapezoid"


@pytest.mark.parametrize("k", [0, 21])
def test_a_rank_beyond_the_curve_is_refused(k):
    with pytest.raises(ConfigError, match=f"ranks 1 to 20, got rank {k}"):
        make().rank(k)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pids": np.array([1, 1])}, "pids has shape"),
        ({"valid": np.zeros(3, bool)}, "at least one query"),
        ({"average_precision": np.array([0.5, np.nan, 1.5])}, "average_precision"),
        ({"average_precision": np.array([0.5, 0.0, 0.5])}, "NaN where a query is skipped"),
        ({"inverse_penalty": np.array([0.5, np.nan, np.nan])}, "inverse_penalty"),
        ({"first_match_rank": np.array([1, 0, 3])}, "first_match_rank"),
        ({"cmc": np.ones(10)}, "at least 20"),
        ({"cmc": np.linspace(1, 0, 20)}, "must not fall"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, words):
    with pytest.raises(DataError, match=words):
        make(**changes)


def test_results_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().ap_rule = "trapezoid"


def test_what_python_shows_of_it_is_one_line():
    shown = "RetrievalResult(mAP=37.5%, rank-1=0.0%, mINP=37.5%, queries=2, skipped=1)"
    assert repr(make()) == shown
