"""Every console command that the documents show is run: those of ours by docs_runs."""

import re
import shlex
from pathlib import Path

import pytest
from pages import PAGES, ROOT, commands
from shown import ours, story
from stories import GROUPS
from written import CHECKS

from torchreid_adv.registry import COMMANDS

SHOWN = {path.stem: commands(path) for path in PAGES}
OTHERS = sorted({line for lines in SHOWN.values() for line in lines if ours(line) is None})


def test_a_story_runs_every_command_of_ours():
    told = [page for pages in GROUPS.values() for page in pages]
    assert sorted(told) == sorted(page for page, lines in SHOWN.items() if any(map(ours, lines)))
    found = [command for page in told for command in story(page)]
    assert len(found) > 110
    assert {command.name for command in found} <= set(CHECKS) <= set(COMMANDS)
    assert not any("..." in command.words for command in found)


def test_every_story_is_told():
    folder = Path(__file__).parent / "docs_runs"
    files = {path.stem.removeprefix("test_run_"): path for path in folder.glob("test_*.py")}
    assert set(files) == set(GROUPS)
    assert all(f'pages_of("{group}")' in path.read_text() for group, path in files.items())


# make demo and make test, environments and installations are run by the release's own checks
@pytest.mark.parametrize("line", OTHERS)
def test_a_command_of_others_names_what_there_is(line):
    program, *rest = shlex.split(line)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert rest[0] in targets
    elif "install" in rest:
        text = (ROOT / "pyproject.toml").read_text()
        _, declared = text.split("[project.optional-dependencies]\n")
        known = re.findall(r"^(\w+) = ", declared.split("\n[")[0], flags=re.MULTILINE)
        (extras,) = re.findall(r"\[([\w,]+)\]", rest[-1])
        assert set(extras.split(",")) <= set(known)
    else:
        assert rest[:2] in (["-m", "venv"], ["-m", "pytest"])
