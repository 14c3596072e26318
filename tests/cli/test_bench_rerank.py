import json

import pytest

from torchreid_adv.benchmarks import rerank

SIZE = {"queries": 40, "gallery": 200, "dimension": 16, "repeats": 1}


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(rerank, "_in_a_process", rerank._measure)


def test_ours_the_peer_and_the_floor_are_measured(in_this_process, capsys):
    figures = rerank.run(**SIZE)
    for part in ("ours", "peer", "floor"):
        assert figures[part]["seconds"] > 0
        assert figures[part]["peak"] > figures[part]["own"]
    assert figures["faster"] == figures["peer"]["seconds"] / figures["ours"]["seconds"]
    assert figures["agrees"]
    assert 0 < figures["ours"]["mAP"] < 1
    assert json.loads(json.dumps(figures)) == figures
    assert capsys.readouterr().out.rstrip().endswith(": agree")


def test_outcomes_that_differ_are_seen():
    ours = {"seconds": 1, "peak": 2, "own": 1, "mAP": 0.5, "mINP": 0.5, "cmc": [0.1, 0.2]}
    assert rerank._compared(ours, ours)["agrees"]
    for other in ({"mAP": 0.501}, {"mINP": 0.499}, {"cmc": [0.1, 0.21]}):
        assert not rerank._compared(ours, ours | other)["agrees"]


def test_sizes_are_chosen_and_the_peer_is_left_out(in_this_process, capsys):
    arguments = ["--queries", "9", "--gallery", "50", "--dimension", "4", "--no-peer"]
    assert rerank.main(arguments) == 0
    out = capsys.readouterr().out
    assert "9 queries x 50 gallery images x 4" in out
    assert "agree" not in out.lower()


@pytest.mark.slow
def test_each_part_runs_in_a_process_of_its_own():
    assert rerank.run(**SIZE)["agrees"]
