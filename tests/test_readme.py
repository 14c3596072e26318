"""The front door: short, true, and its commands run; the table of models is the zoo's."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from torchreid_adv import cli, config
from torchreid_adv.experiments.zoo_table import COLUMNS, FIGURES
from torchreid_adv.registry import ATTACKS
from torchreid_adv.version import __version__

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
ZOO = (ROOT / "docs" / "zoo.md").read_text()
PROJECT = (ROOT / "pyproject.toml").read_text()
CELLS = COLUMNS + FIGURES
ADDRESS = "https://git.example/owner/name"


def inline():
    """Return the commands of ours in the page's tables that can be taken as they stand."""
    found = re.findall(r"`torchreid-adv ([^`]+)`", COMMANDS.split("\n## An attack")[0])
    return sorted({command for command in found if "..." not in command})


@pytest.mark.parametrize("command", inline())
def test_a_command_is_taken_from_any_folder(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config.forget()
    name, *rest = shlex.split(command)
    asks = "--dry-run" if name == "demo" or "--config-file" in rest else "--help"
    try:
        assert cli.main([name, asks, *rest]) == 0
    except SystemExit as stop:
        if stop.code:
            raise
    finally:
        config.forget()
    assert capsys.readouterr().out


def test_the_readme_is_short():
    assert len(README.split()) <= 900


def test_the_readme_counts_the_attacks():
    assert f"{len(ATTACKS.public)} attacks" in README


def test_badges_are_true():
    badges = dict(re.findall(r"img\.shields\.io/badge/(\w+)-([\w.]+)-", README))
    versions = re.findall(r"Python :: (3\.\d+)\"", PROJECT)
    assert badges == {
        "python": f"{versions[0]}_to_{versions[-1]}",
        "license": re.search(r'^license = "(\w+)"', PROJECT, flags=re.MULTILINE)[1],
        "status": re.search(r"Status :: \d - (\w+)", PROJECT)[1].lower(),
    }


def rows(text):
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def zoo_rows():
    """Return the rows of models of the zoo's page by their names."""
    table = rows(ZOO)
    head = next(n for n, row in enumerate(table) if tuple(row) == CELLS)
    names = yaml.safe_load((ROOT / "configs/zoo.yaml").read_text())["adv"]["zoo"]
    return list(names), table[head + 1 : head + 1 + len(names)]


def test_the_table_of_models_is_of_the_config_that_is_named_under_it():
    names, table = zoo_rows()
    data = yaml.safe_load((ROOT / "configs/zoo.yaml").read_text())["data"]
    assert [row[0] for row in table] == names
    for row in table:
        assert len(row) == len(CELLS)
        assert (row[5], row[8], row[9]) == (f"{data['height']}x{data['width']}", "ifgsm", "5")


def test_the_results_of_the_readme_are_the_zoos():
    known = {row[0]: row[-3:] for row in zoo_rows()[1]}
    shown = {row[0]: row[1:] for row in rows(README) if row[0] in LABELS}
    assert shown == {label: known[name] for label, name in LABELS.items()}


LABELS = {
    "ShuffleNet v2 x0.5, no defense": "normal",
    "joint defense": "joint_defense",
    "offline adversarial training": "offline",
    "online adversarial training": "online",
    "FGSM-RS from a clean network": "cheap",
}


def metadata(tmp_path, **variables):
    """Return the metadata that setup.py writes, built in a folder of the test."""
    script = (
        "import sys, setuptools.build_meta as b, pathlib;"
        "out = sys.argv[1]; name = b.prepare_metadata_for_build_wheel(out);"
        "print('\\n' + str(pathlib.Path(out) / name / 'METADATA'))"
    )
    for name in ("README.md", "pyproject.toml", "setup.py", "LICENSE"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    package = tmp_path / "torchreid_adv"
    package.mkdir()
    (package / "version.py").write_text((ROOT / "torchreid_adv" / "version.py").read_text())
    (package / "__init__.py").touch()
    for name in ("configs", "benchmarks"):
        (tmp_path / name).mkdir()
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script, str(out)],
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin", **variables}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1]).read_text()


@pytest.mark.parametrize(
    "variables",
    [
        {"REPOSITORY_URL": f"{ADDRESS}/"},
        {"GITHUB_SERVER_URL": "https://git.example", "GITHUB_REPOSITORY": "owner/name"},
    ],
)
def test_links_of_a_release_lead_to_the_repository(tmp_path, variables):
    facts, description = metadata(tmp_path, **variables).split("\n\n", 1)
    assert f"Project-URL: Repository, {ADDRESS}" in facts
    assert f"](https://git.example/owner/name/raw/v{__version__}/docs/images/ranking.png)" in (
        description
    )
    assert f"({ADDRESS}/blob/v{__version__}/docs/standard.md)" in description
    assert not re.search(r"\]\((?!https:)", description)


def test_without_an_address_the_description_has_no_dead_links(tmp_path):
    facts, description = metadata(tmp_path).split("\n\n", 1)
    assert "Project-URL: torchreid, https://github.com/KaiyangZhou/deep-person-reid" in facts
    assert not re.search(r"\]\((?!https:)", description)
    assert "One standard evaluation" in description
    assert "docs/images" not in description
    assert "https://arxiv.org/abs/1910.10093" in description


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == __version__
    assert cited["license"] == "MIT"
    assert cited["authors"]
    assert cited["date-released"]
    assert all(work["title"] and work["authors"] and work["year"] for work in cited["references"])
