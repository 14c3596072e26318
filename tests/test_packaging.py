"""What is shipped: built as `python -m build` does it, installed, used from an empty folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from torchreid_adv.version import __version__

ROOT = Path(__file__).parents[1]
BESIDE = ("benchmarks", "configs")  # in a wheel they are folders of the package
SHIPPED = (*BESIDE, "docs", "tests", "tools", "torchreid_adv", ".ci")
BUILD = "import setuptools.build_meta as b; print(b.build_sdist({0!r}), b.build_wheel({0!r}))"


def python(*arguments, cwd, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, text=True, capture_output=True
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder of an sdist and a wheel, built from a copy of the tree."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SHIPPED:
        shutil.copytree(ROOT / name, tree / name, ignore=unwanted)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tree)
    done = python("-c", BUILD.format(str(out)), cwd=tree)
    assert "Package would be ignored" not in done.stderr
    return out


def files_below(*names):
    unwanted = {"__pycache__"}
    return {
        path.relative_to(ROOT).as_posix()
        for name in names
        for path in (ROOT / name).rglob("*")
        if path.is_file() and not unwanted & set(path.parts)
    }


@pytest.mark.slow
def test_the_sdist_holds_the_whole_tree(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert files_below(*SHIPPED) <= held
    assert {"README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "Makefile"} <= held


@pytest.mark.slow
def test_the_wheel_holds_the_package_the_configs_and_the_benchmarks(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (name,) = [n for n in archive.namelist() if n.endswith("/METADATA")]
        facts = message_from_string(archive.read(name).decode())
    beside = {f"torchreid_adv/{name}" for name in files_below(*BESIDE)}
    assert held == files_below("torchreid_adv") | beside
    assert facts["Version"] == __version__
    assert facts["Requires-Python"] == ">=3.10"
    assert {"cpu", "gpu", "onnx", "pictures", "test"} <= set(facts.get_all("Provides-Extra"))
    assert facts["License-Expression"] == "MIT"


@pytest.mark.slow
def test_an_installed_wheel_is_used_from_an_empty_folder(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    install = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    python("-m", *install, str(wheel), cwd=empty)
    people = ["train_identities", "6", "test_identities", "4", "distractors", "2"]
    short = [f"adv.virtual.{v}" if n % 2 == 0 else v for n, v in enumerate(people)]
    short += ["train.max_epoch", "1", "adv.attack.steps", "1", "use_gpu", "False"]
    done = python("-m", "torchreid_adv", "demo", *short, cwd=empty, PYTHONPATH=str(site))
    assert str(site / "torchreid_adv/configs/quickstart.yaml") in done.stderr
    assert (empty / "log/quickstart/report.html").is_file()
    assert re.search(r"mAP: \d", done.stdout)
    listed = python("-m", "torchreid_adv", "list", "configs", cwd=empty, PYTHONPATH=str(site))
    assert str(site) in listed.stdout
    figures = tmp_path / "figures.json"
    sizes = ["--queries", "20", "--gallery", "300", "--json", str(figures)]
    measure = ["-m", "torchreid_adv", "benchmark", "retrieval", *sizes]
    python(*measure, cwd=empty, PYTHONPATH=str(site))
    assert json.loads(figures.read_text())["retrieval"]["agrees"]
    where = "import torchreid_adv.benchmarks as b; print(b.__file__)"
    found = python("-c", where, cwd=empty, PYTHONPATH=str(site)).stdout.strip()
    assert found == str(site / "torchreid_adv/benchmarks/__init__.py")
