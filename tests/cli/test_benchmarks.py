"""The benchmarks at a toy size: what they print and keep, not how fast anything is."""

import json

import pytest

import torchreid_adv as adv
from torchreid_adv import cli
from torchreid_adv.errors import ConfigError
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
    monkeypatch.setattr("torchreid_adv.benchmarks.retrieval._PEER_LIMIT", 100)
    found = figures("retrieval", "--queries", "40", "--gallery", "600")["retrieval"]
    assert "peer" not in found
    assert "not run" in capsys.readouterr().out


@pytest.mark.parametrize("built", [False, True])
def test_torchreids_cython_ranking_is_measured_where_it_is_built(
    built, figures, monkeypatch, capsys
):
    from torchreid_adv.benchmarks.retrieval import _ranking

    python = _ranking().eval_market1501
    monkeypatch.setattr(_ranking(), "IS_CYTHON_AVAI", built)
    monkeypatch.setattr(
        _ranking(), "evaluate_cy", lambda *given: python(*given[:-1]), raising=False
    )
    found = figures("retrieval", "--queries", "40", "--gallery", "600")["retrieval"]
    assert ("cython" in found) == built
    assert found.get("agrees_cython", True)
    assert ("not built in this torchreid" in capsys.readouterr().out) != built


@pytest.mark.parametrize("there", [False, True])
def test_neighbors(there, figures, monkeypatch, capsys):
    if there:
        pytest.importorskip("faiss")
    else:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = figures("neighbors", "--queries", "10", "--gallery", "300")["neighbors"]
    assert min(found[name] for name in ("torch", "floor")) > 0
    assert ("index" in found) == ("faiss" in found) == there
    assert found.get("agrees", True)
    out = capsys.readouterr().out
    assert ("both return the same" if there else "pip install 'torchreid_adv[cpu]'") in out


def test_jobs(figures, capsys):
    found = figures("jobs", "--images", "40")["jobs"]
    rates = ("ours", "one_by_one", "floor", "peer", "peer_half", "replay")
    assert min(found[name] for name in rates) > 0
    assert "durable" in capsys.readouterr().out


def test_transforms(figures, capsys):
    found = figures("transforms", "--images", "3")["transforms"]
    ours = [
        name
        for name in TRANSFORMS
        if TRANSFORMS.get(name).__module__.startswith("torchreid_adv.")
        and not TRANSFORMS.facts(name).get("learned")
    ]
    assert set(ours) <= set(found)
    for name in ours:
        assert min(found[name][way] for way in ("ours", "published", "floor")) > 0
        assert found[name]["ratio"] == found[name]["ours"] / found[name]["published"]
    assert "images per second and core" in capsys.readouterr().out


def test_meta_times_every_kind_of_step(capsys):
    from torchreid_adv.benchmarks import meta
    from torchreid_adv.experiments import timing

    small = {"model": "shufflenet_v2_x0_5", "size": (64, 32), "images": 8, "repeats": 1}
    found = meta.run(**small, memory=False)
    assert set(found["ratios"]) == set(timing.WAYS)
    assert found["ratios"]["plain"] == 1
    assert found["ratios"]["meta"] > 0
    defense = found["defense"]
    assert set(defense["ratios"]) == {"plain", "1", "fd", "2"}
    assert defense["ratios"]["plain"] == 1
    assert defense["allowed"] == {"1": 2.2, "fd": 4.4, "2": 6.0}
    printed = capsys.readouterr().out
    assert "x plain" in printed
    assert "order 2" in printed


@pytest.mark.slow
def test_the_peak_of_a_second_order_step_is_above_a_plain_ones(capsys):
    from torchreid_adv.experiments import defense_timing

    small = {"model": "resnet18", "size": (64, 32), "images": 8, "repeats": 1}
    peaks = defense_timing.run(**small)["peak_bytes"]
    if not peaks:
        pytest.skip("the system does not tell")
    assert 0 < peaks["plain"] < peaks["2"]
    assert "MiB" in capsys.readouterr().out


def test_an_unknown_section_is_refused(capsys):
    assert cli.main(["benchmark", "jbos"]) == 2
    assert "unknown section 'jbos'; did you mean 'jobs'?" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="unknown device 'gpu'"):
        adv.benchmark("retrieval", device="gpu")


def test_python_measures_what_the_command_does_and_has_rows(figures, capsys):
    sizes = {"queries": 40, "gallery": 600}
    found = adv.benchmark("retrieval", **sizes, quiet=True)
    assert capsys.readouterr().out == ""
    assert (
        found["retrieval"].keys()
        == figures("retrieval", "--queries", "40", "--gallery", "600")["retrieval"].keys()
    )
    assert {name: found["retrieval"][name] for name in sizes} == sizes
    rows = {row["measurement"]: row["value"] for row in found.rows()}
    assert rows["ours"] == found["retrieval"]["ours"] > 0
    assert found.to_csv().startswith("section,measurement,value\nretrieval,")
    assert repr(found) == f"BenchmarkResult(retrieval: {len(rows)} measurements)"


def test_attacks_counts_what_goes_through_the_network(capsys):
    from torchreid_adv.benchmarks import attacks

    small = {"model": "shufflenet_v2_x0_5", "size": (64, 32), "images": 2, "loop": False}
    rows = attacks.run(**small, names=("fgsm", "ifgsm", "square"))["attacks"]
    assert {name: row["passes"] for name, row in rows.items()} == {
        "fgsm": 3,  # one step there and back, and the losses before
        "ifgsm": 21,
        "square": 60,
    }
    assert min(row["peer"] for row in rows.values()) > 0
    assert "x torchattacks BIM" in capsys.readouterr().out


def test_every_peer_of_an_attack_is_there():
    import torchattacks
    from torchreid_adv.benchmarks.attacks import PEERS

    from torchreid_adv.registry import ATTACKS

    assert set(PEERS) <= set(ATTACKS)
    assert all(hasattr(torchattacks, kind) for kind, _ in PEERS.values())


def test_training_counts_plain_steps(capsys):
    from torchreid_adv.benchmarks import training

    small = {"model": "shufflenet_v2_x0_5", "size": (64, 32), "batch": 8, "steps": 1, "repeats": 1}
    found = training.run(**small, ways=("self, adversarial", "self, consistency"))
    assert found["plain_steps"]["plain"] == 1
    assert set(found["seconds"]) == {"plain", "self, adversarial", "self, consistency"}
    assert found["allowed"] == pytest.approx(2.3)
    assert "at most 2.30: 2 plain steps and 15 %" in capsys.readouterr().out
