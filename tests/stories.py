"""Stories run: the commands of a page one behind the other in one folder, each to its end."""

import os
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import written
from pages import ROOT
from shown import story

from torchreid_adv import cli, config

STUDY_PAGES = ("attacks", "calibration", "defense", "meta_defense", "selection", "training")
STUDY_PAGES += ("cheap_training", "ensemble", "references", "starts", "universal", "video")
GROUPS = {  # pages whose commands docs_runs/test_run_<group>.py runs
    "attacks": ("card", "corruptions", "ranking_robustness", "reliability", "standard"),
    "first": ("README", "commands", "first_steps", "your_own_data", "your_own_model", "zoo"),
    "reproduction": ("reproduction",),
    "studies": ("studies", "joint_defense", *(f"study_{name}" for name in STUDY_PAGES)),
    "training": ("meta_defense", "robust_training", "universal_attacks", "victims"),
    "video": ("vi_video",),
}
LONG = (
    "card",
    "ranking_robustness",
    "reliability",
    "reproduction",
    "robust_training",
)  # half a minute
LONG += ("study_calibration", "universal_attacks", "vi_video", "victims")  # and more
PROCESSES = "2"


def pages_of(group):
    """Return the pages of a group for a test each; those of many trainings and runs are slow."""
    marks = {page: [pytest.mark.slow] if page in LONG else [] for page in GROUPS[group]}
    return [pytest.param(page, marks=marks[page]) for page in GROUPS[group]]


def tell(page, capsys):
    """Run the commands of a page and look at what each leaves and says."""
    for command in story(page):
        if "0/8" in command.words:
            shutil.rmtree(command.out)  # shards are the page's other way to the same run
        config.forget()
        code, printed = launched(command) if command.team else called(command, capsys)
        config.forget()
        assert code == 0, f"{shlex.join(command.short)}\n{printed}"
        written.check(command, printed)
        if command.name == "train":
            name_last_epoch(command)


def called(command, capsys):
    """Run a command in this process; return its exit code and what it said."""
    code = scripted(command) if command.script else cli.main(command.short)
    out, err = capsys.readouterr()
    return code, out + err


def scripted(command):
    """Run a script of tools/ as a program and return its exit code."""
    with mock.patch.object(sys, "argv", [command.script, *command.short[1:]]):
        try:
            runpy.run_path(command.script, run_name="__main__")
        except SystemExit as end:
            return end.code
    return None


def launched(command):
    """Run a script of tools/ by torchrun, in few processes."""
    torchrun = Path(sys.executable).with_name("torchrun")
    words = [torchrun, "--nproc-per-node", PROCESSES, command.script, *command.short[1:]]
    done = subprocess.run(
        [*words, "adv.plugins", "['scripts.small_everywhere']"],
        env={
            **os.environ,
            "PET_STANDALONE": "1",  # a port that is free
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def name_last_epoch(command):
    """Give the checkpoint of the only epoch the name that the page's own training ends with."""
    folder, epochs = command.out / "model", command.config.train.max_epoch
    if (folder / "model.pth.tar-1").is_file():
        shutil.copy(folder / "model.pth.tar-1", folder / f"model.pth.tar-{epochs}")
