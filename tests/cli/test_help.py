"""Help texts: examples that run, the keys that are read, what is written, how long it takes."""

import contextlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from scripts.tiny_model import TinyClassifier

from torchreid_adv import cli, config
from torchreid_adv.cli.command import Command
from torchreid_adv.cli.help_text import command_lines, keys_of
from torchreid_adv.config import AdvConfig
from torchreid_adv.config.keys import KEYS
from torchreid_adv.config.reference import SECTIONS
from torchreid_adv.registry import COMMANDS

FILE = re.compile(r"[\w.-]+\.(?:pth|pt|tar-\d+)\b")
CHEAP = ["list attacks defenses", "list configs", "reproduce --list"]  # which need nothing
PEOPLE = {"height": 64, "width": 32, "distractors": 2, "train_identities": 8}
PEOPLE |= {"test_identities": 4, "cameras_per_identity": 2, "images_per_camera": 2}
SMALL = "data.workers 0 use_gpu False data.height 64 data.width 32 adv.job.chunk 4 data.root data "
SMALL += "model.pretrained False adv.plugins ['scripts.tiny_model'] adv.attack.steps 1 "
SMALL += " ".join(f"adv.virtual.{key} {value}" for key, value in PEOPLE.items())
TRAIN = "model.name tiny_classifier train.max_epoch 1 train.batch_size 8 test.batch_size 20"
RUN = {  # command -> words of a small run of it
    "attack": "tiny_classifier:a.pth -t virtual_a",
    "attack-train": "-s virtual_a -t virtual_a model.name tiny_classifier "
    "adv.training.weights a.pth",
    "transfer": "a=tiny_classifier:a.pth b=tiny_classifier:b.pth -t virtual_a --attack ifgsm",
    "sweep": "tiny_classifier:a.pth -t virtual_a --attack ifgsm --eps 2 4",
    "robust-report": "a=tiny_classifier:a.pth b=tiny_classifier:b.pth -t virtual_a --attack ifgsm",
    "train": f"-s virtual_a -t virtual_a {TRAIN}",
}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    config.forget()
    yield tmp_path
    config.forget()


def shown(name, capsys):
    """Return the help text of a command."""
    with contextlib.suppress(SystemExit):
        assert cli.main([name, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_help_text_says_it_all_in_80_columns(name, capsys):
    printed, usage = shown(name, capsys), COMMANDS.facts(name)["usage"]
    assert max(map(len, printed.splitlines())) <= 80
    for head in ("\nexamples:\n", "\nwrites:\n", "\ntime:\n"):
        assert head in printed
    assert len(usage.examples) >= 2
    text = printed.partition("\nexamples:\n")[2].partition("\n\n")[0]
    whole = shlex.split(text.replace("\\\n", " "))
    for example in usage.examples:
        words = shlex.split(f"torchreid-adv {example}")
        assert any(whole[n : n + len(words)] == words for n in range(len(whole))), example


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_keys_of_a_help_text_are_those_declared_with_their_defaults(name, capsys):
    usage, command = COMMANDS.facts(name)["usage"], COMMANDS.get(name)
    listed = shown(name, capsys)
    listed = listed.partition("\nconfig keys it reads")[2]
    ours = re.findall(r"^  adv\.([\w.]+)(?: |$)", listed, flags=re.MULTILINE)
    declared = [key.removeprefix("adv.") for key in keys_of(usage.reads) if key.startswith("adv.")]
    assert ours == [key.name for key in KEYS if key.name in declared]
    assert bool(usage.reads) == (isinstance(command, Command) or name in ("study", "reproduce"))
    for pattern in usage.reads:
        assert keys_of([pattern]), f"{name} reads {pattern}, which is no key"
    assert set(usage.further) <= set(SECTIONS)
    joined = " ".join(listed.split())
    for key in KEYS:
        if key.name in declared and isinstance(key.default, (int, float)):
            assert f"adv.{key.name} {key.default}" in joined


@pytest.mark.parametrize(
    ("name", "example"),
    [
        (name, example)
        for name in sorted(COMMANDS)
        for example in COMMANDS.facts(name)["usage"].examples
    ],
)
def test_an_example_is_a_command_line_that_is_understood(name, example, place, capsys):
    for file in FILE.findall(example):
        Path(file).touch()
    first, *words = shlex.split(example)
    assert first == name
    command = COMMANDS.get(name)
    if isinstance(command, Command):
        assert command.configured(words).data.targets
    elif name == "study":
        config.forget()
        assert cli.main([name, words[0], "--dry-run", *words[1:]]) == 0
    elif example in CHEAP:
        assert cli.main([first, *words]) == 0
        assert len(capsys.readouterr().out.splitlines()) > 5
    else:
        flags = {word for word in words if word.startswith("--")} - {"--config-file"}
        said = shown(name, capsys)
        assert name == "run" or all(flag in said for flag in flags)


def test_an_example_is_cut_into_lines_that_a_shell_joins():
    words = ["standard", "a" * 50, "-t", "people.csv", "adv.standard.models", "['a b', 'c']"]
    lines = command_lines(shlex.join(words))
    assert len(lines) > 1
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert shlex.split("\n".join(lines).replace("\\\n", " ")) == words


@contextlib.contextmanager
def recorded(cfg, monkeypatch):
    """Give the keys of a tree that are read inside the block."""
    places, read = {id(cfg): ""}, set()
    stack = [(cfg, "")]
    while stack:
        node, path = stack.pop()
        for key, child in node.items():
            if isinstance(child, AdvConfig):
                places[id(child)] = f"{path}{key}."
                stack.append((child, f"{path}{key}."))

    def note(node, name):
        path = places.get(id(node))
        value = dict.get(node, name)
        if path is not None and name in node and not isinstance(value, AdvConfig):
            read.add(f"{path}{name}")

    def checked(cfg, setup=config.setup):
        before = set(read)
        setup(cfg)  # looks at every key
        read.intersection_update(before)
        return cfg

    get, item = AdvConfig.__getattr__, AdvConfig.__getitem__
    with monkeypatch.context() as patch:
        patch.setattr(config, "setup", checked)
        patch.setattr(AdvConfig, "__getattr__", lambda s, n: (note(s, n), get(s, n))[1])
        patch.setattr(
            AdvConfig, "__getitem__", lambda s, n: (note(s, n), item(s, n))[1], raising=False
        )
        yield read


@pytest.mark.parametrize("name", sorted(RUN))
def test_a_command_reads_the_keys_that_its_help_lists(name, place, monkeypatch):
    for seed, file in enumerate(("a.pth", "b.pth")):
        torch.manual_seed(seed)
        torch.save({"state_dict": TinyClassifier(8).state_dict()}, file)
    command = COMMANDS.get(name)
    cfg = command.configured(shlex.split(f"{RUN[name]} {SMALL}"))
    with command._ready(cfg) as team, recorded(cfg, monkeypatch) as read:
        command.work(cfg, team)
    usage = command.usage
    declared = set(keys_of([*usage.reads, *(f"adv.{section}.*" for section in usage.further)]))
    assert " ".join(sorted(read - declared)) == ""
    assert "data.save_dir" in read  # what is recorded is what is read
    assert len(read) > 5


def test_no_help_text_imports_torch():
    script = (
        "import contextlib, sys; from torchreid_adv import cli\n"
        "from torchreid_adv.registry import COMMANDS\n"
        "for name in COMMANDS:\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        cli.main([name, '--help'])\n"
        "assert not {'torch', 'torchreid', 'torchvision'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: torchreid-adv ") == len(COMMANDS)
