"""ERS from results of runs: the arithmetic, the page that shows it, and what is refused."""

import json
import re
from pathlib import Path

import pytest

from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.experiments.ranking_robustness import RUNS, ranking_robustness

PAGE = Path(__file__).parents[2] / "docs" / "ranking_robustness.md"
FIGURES = {
    "ca_plus": 20.0, "ca_minus": 30.0, "qa_plus": 10.0, "qa_minus": 40.0, "tma": 0.25,
    "ltm": 0.5, "gtm": 0.25, "gtt": 0.75,
}  # fmt: skip
# 2 * 20, 100 - 30, 2 * 10, 100 - 40, 100 * 0.75, 50 * (2 - 0.5), 60, 50, 25, 75
EXPECTED = (40 + 70 + 20 + 60 + 75 + 75 + 60 + 50 + 25 + 75) / 10


def write_runs(folder, **changes):
    folders = {}
    for name in RUNS:
        side = "gallery" if name.startswith("ca_") else "query"
        attack = {"name": name, "side": side, "eps": 8.0} | changes.get(name, {})
        target = {"attack": attack, "figure": None, "feature_shift": 0.5}
        target["adversarial"] = {"cmc": {"1": 0.6}}
        if name in FIGURES:
            target["figure"] = {"clean": 0.0, "adversarial": FIGURES[name]}
        folders[name] = folder / "log" / "ranks" / name
        folders[name].mkdir(parents=True)
        results = {"model": {"name": "tiny"}, "targets": {"market1501": target}}
        (folders[name] / "results.json").write_text(json.dumps(results))
    return folders


def test_the_score_is_the_mean_of_ten_parts(tmp_path):
    found = ranking_robustness(write_runs(tmp_path))
    assert found == {"market1501": pytest.approx(EXPECTED)}


def test_the_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
    write_runs(tmp_path)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    exec(compile(code, PAGE.name, "exec"), {})
    assert capsys.readouterr().out == f"ERS of market1501: {EXPECTED:.1f}\n"


def test_the_page_runs_every_attack_of_the_score():
    (names,) = re.findall(r"for name in (.*?); do", PAGE.read_text())
    assert sorted(names.split()) == sorted(RUNS)


def test_what_cannot_be_scored_is_said(tmp_path):
    folders = write_runs(tmp_path / "runs", gtt={"eps": 4.0})
    with pytest.raises(ConfigError, match="differ in model, eps"):
        ranking_robustness(folders)
    with pytest.raises(ConfigError, match=r"missing or unknown: \['gtt'\]"):
        ranking_robustness({name: folders[name] for name in RUNS if name != "gtt"})
    with pytest.raises(DataError, match="finish the attack first"):
        ranking_robustness(folders | {"gtt": tmp_path})
    with pytest.raises(DataError, match=r"needs tma on adv\.attack\.side query"):
        ranking_robustness(folders | {"tma": folders["ca_plus"]})
    sides = write_runs(tmp_path / "sides", sma={"side": "gallery"})
    with pytest.raises(DataError, match="'sma' attacked the gallery"):
        ranking_robustness(sides)
