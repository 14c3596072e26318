"""The page on visible-infrared video: its commands resolve, its tables name what there is."""

import re
import shlex
from pathlib import Path

import pytest

from torchreid_adv import cli, config
from torchreid_adv.data.cross_modality.frames import METHODS
from torchreid_adv.registry import DATASETS, PROTOCOLS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "vi_video.md").read_text()
COMMANDS = re.findall(r"^torchreid-adv (.+)$", TEXT, flags=re.MULTILINE)


def test_the_page_shows_a_run_without_data_and_the_paper_s():
    assert len(COMMANDS) == 4


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_taken(command, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    config.forget()
    name, *rest = shlex.split(command)
    assert cli.main([name, "--dry-run", *rest]) == 0
    assert "adv.video.first_epochs" in capsys.readouterr().out


def test_the_tables_name_every_set_protocol_and_frame_rule():
    named = set(re.findall(r"`([a-z0-9_]+)`", TEXT))
    own = "torchreid_adv.data.cross_modality"
    sets = {name for name in DATASETS if DATASETS.get(name).__module__.startswith(own)}
    assert sets | set(PROTOCOLS) | set(METHODS) <= named
