"""The commands of the page on studies are taken as they stand, and every study is on it."""

import re
import shlex
from pathlib import Path

import pytest

from torchreid_adv import cli, config

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "studies.md").read_text()
COMMANDS = re.findall(r"^torchreid-adv (study .+)$", TEXT, flags=re.MULTILINE)


def test_the_page_shows_the_studies_of_the_video_network():
    assert {"video", "video_weights"} <= {command.split()[1] for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_taken(command, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    config.forget()
    first, name, *rest = shlex.split(command)
    assert cli.main([first, name, "--dry-run", *rest]) == 0
    assert "adv.study.models" in capsys.readouterr().out
