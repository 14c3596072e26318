"""Every console command that the documents show is parsed: flags, files and keys exist."""

import re
import shlex
from pathlib import Path

import pytest
from pages import PAGES, ROOT, commands

from torchreid_adv import cli, config
from torchreid_adv.registry import COMMANDS

SHOWN = sorted({(path.stem, command) for path in PAGES for command in commands(path)})
GIVEN = re.compile(r"[\w./-]+\.(?:pth\.tar-\d+|pth|onnx|safetensors)")  # files that the reader has
LEFT_OUT = ("--config-file", "...")
READ_RUNS = ("leaderboard", "verify")  # of which there are none


def ours(words):
    """Return a command of ours with its arguments, None for another program."""
    program = Path(words[0]).name
    if program == "torchreid-adv":
        return words[1:]
    if "torchreid_adv" in words:
        return words[words.index("torchreid_adv") + 1 :]
    scripts = [n for n, word in enumerate(words) if word.startswith("tools/")]
    if not scripts:
        return None
    assert (ROOT / words[scripts[0]]).is_file()
    return [Path(words[scripts[0]]).stem.replace("_", "-"), *words[scripts[0] + 1 :]]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the tree's configs and tools, for files that a command names to be put in."""
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    config.forget()
    yield tmp_path
    config.forget()


@pytest.mark.parametrize(("page", "command"), SHOWN, ids=[f"{p}: {c}"[:90] for p, c in SHOWN])
def test_a_command_is_taken(page, command, place, capsys):
    words = shlex.split(command)
    arguments = ours(words)
    if arguments is None:
        check_other(words)
        return
    for name in GIVEN.findall(command):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).touch()
    name, *rest = arguments
    assert name in COMMANDS
    if name == "list":
        assert cli.main(arguments) == 0
    elif name in READ_RUNS:
        assert cli.main(arguments) != 0
        assert re.search("holds no |there is no ", capsys.readouterr().err)
    elif name == "run":
        assert cli.main(arguments) in (0, 2)
    else:
        if "..." in rest:
            rest = [word for word in rest if word not in LEFT_OUT]
        first = next((n for n, word in enumerate(rest) if word[0] == "-"), name == "reproduce")
        rest.insert(first, "--dry-run")
        assert cli.main([name, *rest]) == 0
        assert "adv.attack.name" in capsys.readouterr().out


def check_other(words):
    program, *rest = words
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert rest[0] in targets
    elif "install" in rest:
        text = (ROOT / "pyproject.toml").read_text()
        _, declared = text.split("[project.optional-dependencies]\n")
        known = re.findall(r"^(\w+) = ", declared.split("\n[")[0], flags=re.MULTILINE)
        (extras,) = re.findall(r"\[([\w,]+)\]", rest[-1])
        assert set(extras.split(",")) <= set(known)
    else:
        assert rest[:2] in (["-m", "venv"], ["-m", "pytest"])


def test_pages_have_commands():
    assert len(SHOWN) > 80
