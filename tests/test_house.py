"""The house stays as plain as it is: imports, sizes of files, and files that a value crosses.

The numbers are those of today. Lower them when the code gets simpler; a higher one needs a reason.
"""

import json
import os
import subprocess
import sys

import house
import pytest
from flows import FLOWS, WANTED, holds, inside, watched
from pages import ROOT

from torchreid_adv.attacks.loop.perturbations import LinfDelta
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.pixels import from_levels, to_levels

LONG_FILES = 0
CROSSED = {"eps -> stored PNG": 21, "a batch -> meta-defense step": 8, "features -> mAP": 9}


def test_nothing_is_in_a_circle():
    assert house.circles(house.graph()) == []


def test_no_import_runs_backward():
    assert house.backward() == []


def test_no_file_gets_long():
    long = [path.name for path in house.files() if house.lines(path) > house.LONG]
    assert len(long) <= LONG_FILES, long


ENDS = {
    "eps -> stored PNG": ("attacks/budget.py", "attacks/loop/perturbations.py", "data/images.py"),
    "a batch -> meta-defense step": ("engines/meta_defense.py", "engines/meta_gradient.py"),
    "features -> mAP": ("models/features.py", "evaluation/metrics.py", "evaluation/result.py"),
}


def drawn(name):
    """Return the paragraph of docs/architecture.md on a flow."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    _, paragraphs = page.split("## Three ways through the code")
    return paragraphs.split("\n\n")[1 + list(FLOWS).index(name)]


def walked(name, folder):
    """Walk a flow in a process of its own: others may have plugins and data sets of any name."""
    script = (
        "import json, sys; from pathlib import Path; from flows import FLOWS;"
        "seen = FLOWS[sys.argv[1]](Path(sys.argv[2])); print('\\n' + json.dumps(seen))"
    )
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": places}
    command = [sys.executable, "-c", script, name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", FLOWS)
def test_a_value_crosses_no_more_files_than_today(name, tmp_path):
    seen = walked(name, tmp_path)
    assert set(ENDS[name]) <= seen.keys()
    assert not [file for file in seen if f"`{file}`" not in drawn(name)], "docs/architecture.md"
    assert len(seen) <= CROSSED[name], f"wanted are {WANTED[name]}: {seen}"


def test_the_circles_of_a_graph_are_found():
    assert house.circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
    assert house.longest({"a": {"b"}, "b": set(), "c": set()}) == ["a", "b"]


def test_an_object_holds_what_is_in_it_and_a_config_nothing():
    def is_eps(thing):
        return isinstance(thing, float) and thing == 0.25

    assert all(holds(thing, is_eps) for thing in (0.25, LinfDelta(0.25), [LinfDelta(0.25)]))
    assert not holds(LinfDelta(0.5), is_eps)
    assert not holds([[[0.25]]], is_eps)  # three levels below
    assert inside(AdvConfig({"eps": 0.25})) == []


def test_a_walk_counts_files_whose_functions_have_the_value(tmp_path):
    with watched(lambda thing: isinstance(thing, float) and thing == 63.75) as seen:
        to_levels(0.25)
    assert seen == {"core/pixels.py": "to_levels"}
    with watched(lambda thing: thing == "nowhere") as seen:
        from_levels(3.0)
    assert seen == {}
    with watched(lambda thing: isinstance(thing, float), until=tmp_path) as seen:
        from_levels(3.0)
    assert seen == {}
