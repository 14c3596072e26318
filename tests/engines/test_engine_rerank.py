"""``test.rerank`` of an adapted engine: torchreid's numbers without torchreid's matrices."""

import re

import pytest
import torch
from markets import write_market
from test_evaluation_mixin import make_engine

import torchreid_adv as adv
from torchreid_adv import config
from torchreid_adv.distances.base import Distance
from torchreid_adv.integration.layout import torchreid_module


@pytest.fixture
def people(tmp_path):
    """More images than neighbors are compared: 30 queries, 60 and 4 gallery images."""
    return write_market(tmp_path / "data", identities=10, distractors=4)


def scores(text):
    return re.findall(r"^(?:mAP|Rank).*%", text, re.M)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_scores_and_lines_are_those_of_torchreid(people, capsys, metric):
    engine = make_engine(people)
    engine.run(test_only=True, dist_metric=metric)
    plain = scores(capsys.readouterr().out)
    engine.run(test_only=True, dist_metric=metric, rerank=True)
    theirs = capsys.readouterr().out
    adv.adapt_engine(engine, config.current())
    engine.run(test_only=True, dist_metric=metric, rerank=True)
    ours = capsys.readouterr().out
    assert scores(ours) == scores(theirs) != plain
    said = [line for line in theirs.splitlines() if re.match("Computing|Applying", line)]
    assert said == [line for line in ours.splitlines() if line in said]


def test_no_matrix_of_all_distances_is_computed(people, monkeypatch):
    engine = adv.adapt_engine(make_engine(people), config.current())

    def refuse(*arguments, **options):
        raise AssertionError("a whole matrix of distances")

    monkeypatch.setattr(Distance, "forward", refuse)
    monkeypatch.setattr(torchreid_module("utils.rerank"), "re_ranking", refuse)
    engine.run(test_only=True, rerank=True)
    assert 0 < engine.results["market1501"].mAP < 1


def test_pictures_show_the_reranked_lists(people, tmp_path, monkeypatch):
    engine = adv.adapt_engine(make_engine(people), config.current())
    drawn = []
    monkeypatch.setattr(
        torchreid_module("utils"),
        "visualize_ranked_results",
        lambda matrix, *arguments, **options: drawn.append(torch.as_tensor(matrix)),
    )
    engine.run(test_only=True, visrank=True, save_dir=str(tmp_path))
    without = engine.results["market1501"].mAP
    engine.run(test_only=True, visrank=True, rerank=True, save_dir=str(tmp_path))
    pictured = engine.results["market1501"].mAP
    engine.run(test_only=True, rerank=True)
    assert [tuple(matrix.shape) for matrix in drawn] == [(30, 64)] * 2
    assert drawn[1].max() <= 1 + 1e-6
    assert pictured == engine.results["market1501"].mAP != without
