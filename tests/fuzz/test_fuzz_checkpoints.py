"""Checkpoints: nothing runs, nothing is half loaded, nothing fills the memory."""

import os

import pytest

from fuzz import checkpoints
from fuzz.child import load_checkpoint, write

MEMORY = 2048  # MB
STEP = 4  # the sample: every so many

pytestmark = pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")


def try_all(found, child, tally, folder, marker):
    faults = []
    for number, (kind, name, suffix, content, expected) in enumerate(found):
        path = write(folder / f"{number}{suffix}", content)
        outcome, answer, peak = child.run(load_checkpoint, path, patience=60)
        tally("checkpoints", kind, outcome)
        path.unlink()
        if expected is checkpoints.REFUSED:
            right = outcome == "refused (2)"
        else:
            right = outcome == "accepted" and answer == checkpoints.result(expected)
        if not right or peak > MEMORY or marker.exists():
            faults.append(f"{kind}, {name}: {outcome}, {peak} MB, {str(answer)[-600:]}")
    assert not faults, "\n".join(faults)


def test_some_checkpoints(child, tally, tmp_path):
    found = list(checkpoints.cases(tmp_path / "marker"))[::STEP]
    try_all(found, child, tally, tmp_path, tmp_path / "marker")


@pytest.mark.slow
def test_all_checkpoints(child, tally, tmp_path):
    found = list(checkpoints.cases(tmp_path / "marker"))
    assert len(found) >= 60
    rest = [case for number, case in enumerate(found) if number % STEP]
    try_all(rest, child, tally, tmp_path, tmp_path / "marker")


@pytest.mark.slow
def test_a_zip_bomb_does_not_fill_the_memory(child, tally, tmp_path):
    found = [("bomb", "zip", ".pth", checkpoints.zip_bomb(), checkpoints.REFUSED)]
    child.stop()
    try_all(found, child, tally, tmp_path, tmp_path / "marker")


@pytest.mark.parametrize("how", ["folder", "pipe", "loop", "missing"])
def test_no_file(child, tally, tmp_path, how):
    path = tmp_path / "a.pth"
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "loop":
        path.symlink_to("a.pth")
    outcome, answer, _ = child.run(load_checkpoint, path)
    tally("checkpoints", "no file", outcome)
    assert outcome == "refused (2)", answer
