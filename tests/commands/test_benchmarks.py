"""The benchmarks at a toy size: what they print and keep, not how fast anything is."""

import json

import pytest

from torchreid_adv import cli
from torchreid_adv.registry import TRANSFORMS


@pytest.fixture
def figures(tmp_path):
    def run(*arguments):
        path = tmp_path / "figures.json"
        assert cli.main(["benchmark", *arguments, "--json", str(path)]) == 0
        return json.loads(path.read_text())

    return run


def test_retrieval(figures, capsys):
    found = figures("retrieval", "--queries", "40", "--gallery", "600")["retrieval"]
    assert found["agrees"]
    assert (found["queries"], found["gallery"]) == (40, 600)
    assert min(found[name] for name in ("ours", "peer", "floor", "peak_gigabytes")) > 0
    assert "agree" in capsys.readouterr().out


def test_a_gallery_too_large_for_the_peer_is_measured_without_it(figures, monkeypatch, capsys):
    monkeypatch.setattr("torchreid_adv.commands.bench_retrieval._PEER_LIMIT", 100)
    found = figures("retrieval", "--queries", "40", "--gallery", "600")["retrieval"]
    assert "peer" not in found
    assert "not run" in capsys.readouterr().out


def test_jobs(figures, capsys):
    found = figures("jobs", "--images", "40")["jobs"]
    rates = ("ours", "one_by_one", "floor", "peer", "peer_half", "replay")
    assert min(found[name] for name in rates) > 0
    assert "durable" in capsys.readouterr().out


def test_transforms(figures, capsys):
    found = figures("transforms", "--images", "3")["transforms"]
    ours = [n for n in TRANSFORMS if TRANSFORMS.get(n).__module__.startswith("torchreid_adv.")]
    assert set(ours) <= set(found)
    for name in ours:
        assert min(found[name][way] for way in ("ours", "published", "floor")) > 0
        assert found[name]["ratio"] == found[name]["ours"] / found[name]["published"]
    assert "images per second and core" in capsys.readouterr().out


def test_an_unknown_section_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["benchmark", "jbos"])
    assert "choose from attack, retrieval" in capsys.readouterr().err
