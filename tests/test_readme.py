"""The front door: its ways in are taken, and its table of models is one that the command writes."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from torchreid_adv import cli, config
from torchreid_adv.experiments.zoo import COLUMNS, FIGURES
from torchreid_adv.version import __version__

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CELLS = COLUMNS + FIGURES


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## )", README, flags=re.S | re.M)[1]


def inline(title):
    """Return the commands of ours in a section's prose that can be taken as they stand."""
    found = re.findall(r"`torchreid-adv ([^`]+)`", section(title))
    return sorted({command for command in found if "..." not in command})


@pytest.mark.parametrize("command", inline("Ways in") + inline("Model zoo"))
def test_a_way_in_is_taken_from_any_folder(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config.forget()
    name, *rest = shlex.split(command)
    asks = "--dry-run" if name == "demo" or rest else "--help"
    try:
        assert cli.main([name, asks, *rest]) == 0
    except SystemExit as stop:
        if stop.code:
            raise
    finally:
        config.forget()
    assert capsys.readouterr().out


def test_the_ways_in_are_the_designs():
    ways = section("Ways in")
    for name in ("demo", "attack", "run", "train", "standard", "zoo"):
        assert f"`torchreid-adv {name}" in ways
    assert "(#in-python)" in ways


def test_the_table_of_models_is_of_the_config_that_is_named_under_it():
    lines = [line for line in section("Model zoo").splitlines() if line.startswith("| ")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = next(n for n, row in enumerate(table) if tuple(row) == CELLS)
    cfg = yaml.safe_load((ROOT / "configs/zoo.yaml").read_text())
    names = [row[0] for row in table[head + 1 : head + 1 + len(cfg["adv"]["zoo"])]]
    assert names == list(cfg["adv"]["zoo"])
    size = f"{cfg['data']['height']}x{cfg['data']['width']}"
    for row in table[head + 1 : head + 1 + len(names)]:
        assert len(row) == len(CELLS)
        assert (row[5], row[8], row[9]) == (size, "ifgsm", "5")


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == __version__
    assert cited["license"] == "MIT"
    assert all(work["title"] and work["authors"] for work in cited["references"])
