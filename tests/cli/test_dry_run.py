"""Dry runs: the same words with and without PyTorch, which they import for no name or value."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from torchreid_adv import cli, config
from torchreid_adv.cli.command import Command
from torchreid_adv.registry import COMMANDS, Registry, as_written

A = "osnet_x1_0:a.pth"
LINES = [  # right and wrong names of every kind, as they are typed
    f"attack {A} -t market1501",
    f"attack {A.upper().replace('A.PTH', 'a.pth')} -t MARKET1501",
    f"attack {A} -t people.csv adv.attack.options '{{pgd: {{steps: 3}}}}'",
    f"attack {A} -t none.csv",
    f"attack {A} -t markt1501",
    f"attack {A} -t mars",
    f"attack {A} --device cpu --attack ifgms",
    f"attack {A} adv.attack.options '{{stpes: 3}}'",
    f"attack {A} test.dist_metric cosin",
    f"attack {A} adv.plugins \"['no_such_module']\"",
    f"attack {A} adv.report.loggers \"['nothing']\"",
    "attack osnet_x9:a.pth",
    "attack gone.pth",
    "attack folder",
    "attack a.pth",
    f"transfer a={A} a=resnet50:a.pth",
    f"standard mine={A} -t market1501",
    "attack-train adv.attack.name apgd",
    "corrupt adv.corruption.kinds \"['fogg']\"",
    "corrupt adv.corruption.kinds \"['fog']\"",
    "train -s market1501 --transforms random_flp",
    "train -s market1501 --transforms random_flip color adv.transforms.color.grey 0.1",
    "train sampler.train_sampler Random",
    "train adv.engine joint",
    "train adv.engine adversarial_training adv.training.method pgdd",
    "train model.name hacnn",
    "train data.type video video.sample_method dense test.batch_size 1",
    "zoo adv.zoo '{plain: {}, other: {data.root: x}}'",
    "zoo adv.zoo '{plain: {}, other: {loss.name: triplet}}'",
    "scenarios",
    "study attacks",
    "reproduce bai2019.table1",
]
SCRIPT = """
import contextlib, io, json, shlex, sys
from torchreid_adv import cli
said = []
for line in json.loads(sys.argv[1]):
    name, *words = shlex.split(line)
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            code = cli.main([name, "--dry-run", *words])
        except SystemExit as stop:
            code = stop.code
    said.append([code, out.getvalue(), error.getvalue()])
    heavy = {"torch", "torchreid", "torchvision", "matplotlib", "scipy"} & sys.modules.keys()
    assert not heavy, (line, heavy)
print(json.dumps(said))
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.pth").touch()
    Path("people.csv").write_text("path,pid,camid,split\n1.jpg,7,1,query\n")
    Path("folder").mkdir()
    config.forget()
    yield tmp_path
    config.forget()


def alone(lines):
    """Return exit code, output and errors of each line, in a process that must not import torch."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(lines)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_dry_run_says_the_same_without_torch(capsys):
    without = dict(zip(LINES, alone(LINES), strict=True))
    for table in registries():
        assert len(table)  # from now on they answer themselves
    for line in LINES:
        name, *words = shlex.split(line)
        try:
            code = cli.main([name, "--dry-run", *words])
        except SystemExit as stop:
            code = stop.code
        assert [code, *capsys.readouterr()] == without[line], line
    assert {code for code, _, _ in without.values()} == {0, 2}


def registries():
    from torchreid_adv.registry import TABLES

    return TABLES.values()


def test_the_examples_of_every_command_can_be_tried_without_torch(place):
    examples = [
        " ".join(example.split())
        for name in COMMANDS
        if isinstance(COMMANDS.get(name), Command)
        for example in COMMANDS.get(name).usage.examples
        if "configs/zoo.yaml" not in example  # one of its models has a defense, which is built
    ]
    words = {word for example in examples for word in example.replace("'", ":").split(":")}
    for word in words:
        for file in word.split():
            if file.endswith((".pth", ".pt", "tar-60")):
                Path(file).touch()
    assert {code for code, _, _ in alone(examples)} == {0}


def test_a_written_table_knows_names_keywords_and_flags():
    table = Registry("shape", "no_such_package")
    table._written = {"circle": {"keywords": "size color", "flags": "internal"}, "free": {}}
    assert [*table] == ["circle", "free"]
    assert "CIRCLE" in table
    assert table.facts("circle") == {"internal": True}
    assert table.public == ("free",)
    assert (table.keywords("circle"), table.keywords("free")) == (("size", "color"), None)
    table.register("square")(lambda side=1: side)
    assert table.keywords("square") == ("side",)
    with pytest.raises(ModuleNotFoundError):  # what is written is known, and not there
        table.get("circle")


def test_what_is_written_is_forgotten_after_the_block():
    with as_written({"attacks": {"nothing": {}}}):
        pass
    assert all(not table._written for table in registries())
