"""The images of Docker and of the devcontainer: built from package registries, of this package."""

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text()
FILES = ("Dockerfile", ".devcontainer/Dockerfile")
DEV = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
VERSIONS = re.findall(r"Python :: (3\.\d+)\"", PROJECT)
EXTRAS = re.findall(
    r"^(\w+) = \[",
    PROJECT.split("[project.optional-dependencies]")[1].split("\n[")[0],
    flags=re.MULTILINE,
)
FETCHES = ("curl", "wget", "git clone", "git+", "http:", "https:", "ftp:", "ssh:", "conda", "npm")


def instructions(name):
    """Return the instructions of a Dockerfile: (word, the rest)."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def settings(name):
    """Return the build arguments of a Dockerfile with their defaults."""
    return dict(rest.split("=") for word, rest in instructions(name) if word == "ARG")


def commands(name):
    """Return the commands that a Dockerfile runs, as words."""
    lines = [rest for word, rest in instructions(name) if word == "RUN"]
    return [shlex.split(part) for line in lines for part in line.split("&&")]


@pytest.mark.parametrize("name", FILES)
def test_an_image_is_made_from_package_registries_only(name):
    assert not [word for word, _ in instructions(name) if word == "ADD"]
    told = " ".join(rest for _, rest in instructions(name))
    assert not [how for how in FETCHES if how in told]
    programs = {words[0] for words in commands(name)}
    assert programs <= {"python", "apt-get", "useradd", "rm"}


@pytest.mark.parametrize("name", FILES)
def test_an_image_has_a_supported_python_and_no_root(name):
    assert settings(name)["PYTHON"] in VERSIONS
    bases = [rest.split()[0] for word, rest in instructions(name) if word == "FROM"]
    assert set(bases) == {"python:${PYTHON}-slim"}
    users = [rest for word, rest in instructions(name) if word == "USER"]
    made = [words[-1] for words in commands(name) if words[0] == "useradd"]
    assert users == made
    assert len(made) == 1


def test_the_image_installs_this_package_and_starts_its_command():
    steps = instructions("Dockerfile")
    assert ("COPY", ". .") in steps
    pip = [words[3:] for words in commands("Dockerfile") if words[1:3] == ["-m", "pip"]]
    assert [words[0] for words in pip] == ["wheel", "install"]
    assert pip[0][-1] == "."
    assert pip[1][-1].endswith("/dist/*.whl)[${EXTRAS}]")
    assert settings("Dockerfile")["EXTRAS"] in EXTRAS
    (start,) = [json.loads(rest) for word, rest in steps if word == "ENTRYPOINT"]
    assert f"{start[0]} = " in PROJECT.split("[project.scripts]")[1]


def test_the_build_gets_the_files_of_the_package_and_no_caches():
    ignored = [line for line in (ROOT / ".dockerignore").read_text().split() if line != "#"]
    kept = ("torchreid_adv", "configs", "benchmarks", "pyproject.toml", "setup.py", "README.md")
    assert not [name for name in kept if any(fnmatch(name, pattern) for pattern in ignored)]
    assert {".git", ".venv*", "log", "reid-data"} <= set(ignored)


def test_the_devcontainer_has_what_the_checks_need():
    build = DEV["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).is_file()
    assert build["args"].keys() <= settings(".devcontainer/Dockerfile").keys()
    assert build["args"]["PYTHON"] in VERSIONS
    assert not {"image", "features", "dockerComposeFile"} & DEV.keys()  # fetched from elsewhere
    (user,) = [rest for word, rest in instructions(".devcontainer/Dockerfile") if word == "USER"]
    assert DEV["remoteUser"] == user
    install = shlex.split(DEV["postCreateCommand"].split("&&")[0])
    assert install[:5] == ["python", "-m", "pip", "install", "-e"]
    assert set(re.findall(r"\w+", install[5])) <= set(EXTRAS)
    (packages,) = [words for words in commands(".devcontainer/Dockerfile") if "install" in words]
    assert {"git", "make"} <= set(packages)


def test_the_hooks_of_the_devcontainer_are_local():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert set(re.findall(r"repo: (\S+)", hooks)) == {"local"}
