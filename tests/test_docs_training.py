"""The commands of the page on robust training are taken as they stand."""

import re
import shlex
from pathlib import Path

import pytest

from torchreid_adv import cli, config

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "robust_training.md"
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
LINES = [line for kind, block in BLOCKS if not kind for line in block.splitlines()]


def test_the_page_shows_every_way_to_train():
    assert len(LINES) == 5
    assert sum(line.startswith("torchrun") for line in LINES) == 1


@pytest.mark.parametrize("line", LINES)
def test_a_command_is_taken(line, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    config.forget()
    words = shlex.split(line)
    if words[0] == "torchrun":
        script = next(word for word in words if word.endswith(".py"))
        assert (ROOT / script).is_file()
        words = ["torchreid-adv", Path(script).stem, *words[words.index(script) + 1 :]]
    command, *rest = words[1:]
    assert cli.main([command, "--dry-run", *rest]) == 0
    assert "adv.training.mode" in capsys.readouterr().out
