"""What somebody sees who knows nothing yet."""

import contextlib
import errno
import os
import subprocess
import sys

import pytest

from torchreid_adv import cli, config, errors
from torchreid_adv.config.torchreid_keys import default_config
from torchreid_adv.registry import COMMANDS
from torchreid_adv.version import __version__


@pytest.fixture(autouse=True)
def nothing_configured():
    config.forget()
    yield
    config.forget()


def test_help_names_every_command_and_where_to_start(capsys):
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in printed
    assert "torchreid-adv demo" in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert cli.main([]) == errors.ConfigError.exit_code
    assert capsys.readouterr().out == printed


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"torchreid-adv {__version__}\n"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_takes(name, capsys):
    with contextlib.suppress(SystemExit):  # of argparse
        assert cli.main([name, "--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: torchreid-adv {name} ")
    assert "Raises" not in printed
    assert "Args" not in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["atack-gallery"], "did you mean 'attack-gallery'?"),
        (["xyz"], "torchreid-adv --help"),
        (["list", "atacks"], "unknown kind 'atacks'; did you mean 'attacks'?"),
    ],
)
def test_a_wrong_name_is_answered(arguments, said, capsys):
    assert cli.main(arguments) == errors.ConfigError.exit_code
    assert said in capsys.readouterr().err


def test_the_demo_is_the_quick_start(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["demo", "--dry-run", "adv.attack.eps", "6"]) == 0
    printed = capsys.readouterr().out
    config.forget()
    arguments = ["--config-file", "configs/quickstart.yaml", "--dry-run", "adv.attack.eps", "6"]
    assert cli.main(["attack-gallery", *arguments]) == 0
    assert capsys.readouterr().out == printed
    assert '  save_dir: "log/quickstart"\n' in printed
    assert "    train_model: true\n" in printed
    assert "    eps: 6.0  # gray levels = 0.023529 of [0, 1]\n" in printed


def test_options_are_listed_in_the_unit_they_are_meant_in(capsys):
    assert cli.main(["list", "attacks", "transforms"]) == 0
    printed = capsys.readouterr().out
    assert "options: step_size=3/255, steps=32" in printed
    assert "p=0.4, area_min=0.02, area_max=0.4" in printed


def test_flags_behind_the_first_key_are_told(capsys):
    assert cli.main(["train", "model.name", "resnet50", "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert said == "error: flags come before the first key: move '--dry-run' before 'model.name'\n"


def test_who_stops_reading_ends_it_in_silence():
    command = [sys.executable, "-m", "torchreid_adv", "list", "attacks"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == cli.UNREAD


@pytest.mark.parametrize(
    ("words", "path", "code"),
    [
        (["x", "adv.video.backbone", "no/such.pth"], "no/such.pth", 2),
        (["x", "adv.scenarios.files", "['a.b-c=universal:no/such.st']"], "no/such.st", 2),
        (["x", "no/such.json"], "no/such.json", 2),
        (["x", "adv.video.backbone=~/such.pth"], "{home}/such.pth", 2),
        (["x", "no/such.json"], "no/other.json", 5),
        (["x", "data.save_dir", "out"], "out", 5),
        (["x", "data.save_dir", "out"], "out/part.png", 5),
    ],
)
def test_a_missing_file_of_the_users_is_no_broken_disk(words, path, code, monkeypatch, capsys):
    path = path.replace("{home}", os.path.expanduser("~"))

    def command(arguments):
        if "data.save_dir" in arguments:
            default_config().merge_from_list(arguments)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    monkeypatch.setitem(COMMANDS._entries, "x", command)
    monkeypatch.setitem(COMMANDS._facts, "x", {})
    config.forget()
    assert cli.main(words) == code
    config.forget()
    said = capsys.readouterr().err
    assert path in said
    assert ("nothing that was written before is lost" in said) == (code == 5)
