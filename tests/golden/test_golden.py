"""What commands write and say is what was recorded: texts by default, whole runs when slow."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
from outputs import compare

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden.json").read_text())


def recorded(*flags):
    """Return the exit code of a comparison and what it printed."""
    command = [sys.executable, str(HERE / "record.py"), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout[-4000:] + done.stderr[-2000:]


def test_help_configs_and_messages_are_as_recorded():
    code, printed = recorded("--texts")
    assert code == 0, printed


@pytest.mark.slow
def test_every_run_is_as_recorded():
    code, printed = recorded()
    assert code == 0, printed


def changed(name, kind, part):
    """Return what was recorded, with one hash of another content."""
    entries = copy.deepcopy(GOLDEN["entries"])
    entries[name][kind][part] = "another"
    return entries


def test_a_difference_is_told_with_its_file():
    machine, name, part = GOLDEN["machine"], "attack ifgsm", "out/results.json"
    assert part in GOLDEN["entries"][name]["here"]
    found = changed(name, "here", part)
    assert compare(GOLDEN["entries"], GOLDEN, machine, list(found)) == []
    assert compare(found, GOLDEN, machine, list(found)) == [f"{name}: {part}"]
    assert compare(found, GOLDEN, {**machine, "torch": "0"}, list(found)) == []
    found = changed(name, "everywhere", "files")
    assert compare(found, GOLDEN, {**machine, "torch": "0"}, list(found)) == [f"{name}: files"]
    del found[name]
    assert compare(found, GOLDEN, machine, [name]) == [f"{name}: is gone"]


def test_ways_to_the_same_images_are_recorded_as_the_same():
    runs = {
        name: GOLDEN["entries"][name]["here"] for name in GOLDEN["entries"] if name[:4] == "run "
    }
    whole = GOLDEN["entries"]["attack ifgsm"]["here"]
    images = [part for part in whole if part.endswith(".png")]
    assert images
    for name in ("shards", "half then whole", "kill", "again", "verify"):
        assert all(runs[f"run {name}"][part] == whole[part] for part in images), name
    assert any(runs["run query"].get(part) != whole[part] for part in images)


@pytest.mark.parametrize("engine", ["adversarial_training", "classification", "consistency"])
def test_a_resumed_robust_training_is_recorded_with_the_same_weights(engine):
    part = "out/model/model.pth.tar-2"
    whole, resumed = (GOLDEN["entries"][f"engine {engine}{end}"] for end in ("", ", resumed"))
    assert whole["here"][part] == resumed["here"][part]
