"""A module imports only from stages to its left; nothing happens on a plain import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import torchreid_adv

ROOT = Path(torchreid_adv.__file__).parent
STAGES = [
    {"version", "errors", "examples"},
    {"registry", "pixels"},
    {"keys"},
    {"key_reference"},
    {"config"},
    {"jobs"},
    {"core"},
    {"integration"},
    {"data"},
    {"transforms", "distances"},
    {"models"},
    {"defenses"},
    {"evaluation"},
    {"attacks"},
    {"engines"},
    {"standard", "report"},
    {"commands"},
    {"testing", "cli"},
    {"__main__", "__init__"},
]
ORDER = {name: place for place, names in enumerate(STAGES) for name in names}
FILES = sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "torchreid_adv":
                found |= {f"torchreid_adv.{alias.name}" for alias in node.names}
            else:
                found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "torchreid_adv"}


def stage(module: str) -> str:
    return [*module.split("."), "__init__"][1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_its_left(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert own in ORDER, f"'{own}' has no stage"
    for module in imported(path):
        other = stage(module)
        assert other == own or ORDER[other] < ORDER[own], f"{path.name} imports {module}"


def test_only_integration_names_torchreid():
    for path in FILES:
        if path.relative_to(ROOT).parts[0] == "integration":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not [n for n in names if n.split(".")[0] == "torchreid"], path


def test_no_way_to_run_what_was_read():
    forbidden = {"eval", "exec", "compile", "__import__"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in forbidden, f"{path}: {node.func.id}"
            if isinstance(node, ast.Import):
                modules = {alias.name for alias in node.names}
                assert not modules & {"pickle", "marshal", "shelve"}, path


def test_the_number_of_levels_stands_in_one_place():
    for path in FILES:
        if path.name == "pixels.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant):
                assert node.value not in (255, 255.0) or isinstance(node.value, bool), path


def test_a_plain_import_does_nothing():
    script = (
        "import sys, torchreid_adv;"
        "assert 'torch' not in sys.modules and 'torchreid' not in sys.modules;"
        "assert 'yacs' not in sys.modules; print(torchreid_adv.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == torchreid_adv.__version__
