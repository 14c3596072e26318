"""A module imports only from stages to its left; nothing happens on a plain import."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import torchreid_adv
from torchreid_adv import moved as moves
from torchreid_adv.moved import moved
from torchreid_adv.registry import COMMANDS

ROOT = Path(torchreid_adv.__file__).parent
BENCHMARKS = ROOT.parent / "benchmarks"
STAGES = [
    {"version", "errors", "foreign_names"},
    {"registry"},
    {"core"},
    {"config"},
    {"integration"},
    {"data"},
    {"transforms", "distances", "corruptions"},
    {"models"},
    {"defenses", "evaluation"},
    {"attacks", "report"},
    {"runs"},
    {"standard", "engines"},
    {"experiments"},
    {"python"},
    {"benchmarks"},  # the file that says where they are: beside the package
    {"testing", "cli"},
    {"moved"},
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


def test_benchmarks_use_the_package_and_it_does_not_use_them():
    files = sorted(BENCHMARKS.rglob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            # relative, because mypy knows them by the name of their folder
            if isinstance(node, ast.ImportFrom) and node.level:
                assert (node.level, path.parent) == (1, BENCHMARKS), path
            elif isinstance(node, ast.ImportFrom):
                assert stage(node.module or "") not in ("benchmarks", "cli"), path
    for path in FILES:
        assert not [name for name in imported(path) if stage(name) == "benchmarks"], path


def test_benchmarks_go_by_the_same_name_in_a_clone_and_in_a_wheel():
    for path in sorted(BENCHMARKS.glob("[!_]*.py")):
        spec = importlib.util.find_spec(f"torchreid_adv.benchmarks.{path.stem}")
        assert spec is not None
        assert Path(spec.origin) == path


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def needed(path: Path, modules: set[str]) -> set[str]:
    """Return the modules that must be there before this one: imports outside functions."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (named & modules) or ({node.module or ""} & modules)
    return found - {module_of(path)}


def test_no_two_modules_import_each_other_in_a_circle():
    modules = {module_of(path) for path in FILES}
    left = {module_of(path): needed(path, modules) for path in FILES}
    while free := [name for name, imports in left.items() if not imports & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"in or behind a circle: {sorted(left)}"


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


PATHS = [(before, now) for before, now in moved().items() if now]


@pytest.mark.parametrize(("before", "now"), PATHS, ids=[before for before, _ in PATHS])
def test_a_path_of_before_is_answered_with_a_warning(before, now):
    sys.modules.pop(f"torchreid_adv.{before}", None)
    with pytest.warns(DeprecationWarning, match=f"torchreid_adv.{now[0]}"):
        module = importlib.import_module(f"torchreid_adv.{before}")
    for name in now:
        there = vars(importlib.import_module(f"torchreid_adv.{name}"))
        assert all(hasattr(module, one) for one in there if not one.startswith("__"))


NEW = {"attack", "card", "compare", "corrupt", "corruption-report"}  # no earlier release had them


@pytest.mark.parametrize("name", sorted({*COMMANDS} - NEW))
def test_the_module_that_a_command_had_still_has_its_main(name):
    file = {"list": "listing"}.get(name, name.replace("-", "_"))
    sys.modules.pop(f"torchreid_adv.commands.{file}", None)
    with pytest.warns(DeprecationWarning, match="the old path ends"):
        module = importlib.import_module(f"torchreid_adv.commands.{file}")
    assert module.main is COMMANDS.get(name)


def test_a_name_of_before_is_found_below_an_old_path():
    for line in Path(moves.__file__).with_name("moved.txt").read_text().splitlines():
        before, *now = line.split()
        if before.startswith(":"):
            assert moves.renamed(before[1:]) == tuple(now)
    sys.modules.pop("torchreid_adv.commands.attack_job", None)
    with pytest.warns(DeprecationWarning, match="runs.attack_run"):
        module = importlib.import_module("torchreid_adv.commands.attack_job")
    assert module.AttackJob is importlib.import_module("torchreid_adv.runs.attack_run").AttackRun


def test_a_path_that_never_was_is_not_answered():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("torchreid_adv.commands.nothing")


WITHOUT = """
import sys
sys.modules["torchattacks"] = None  # as if it was not installed
from torchreid_adv.registry import ATTACKS
from torchreid_adv.errors import ConfigError
from torchreid_adv import build_attack
import benchmarks.attacks, benchmarks.attack_loop, benchmarks.storing
missing = []
for name in ATTACKS:
    try:
        build_attack(name, eps=8 / 255)
    except ConfigError as error:
        if "needs the package torchattacks" in str(error):
            missing.append(name)
print(*missing)
"""


def test_everything_but_its_own_attack_works_without_torchattacks():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["torchattacks"]


LIGHT = (["--help"], ["--version"], ["attack"], ["attack-gallery", "--help"], ["study"])
WRONG = (["transfer", "--eps", "4"], ["sweep", "adv.atack.eps", "4"], ["train", "train.lr"])


@pytest.mark.parametrize("arguments", [*LIGHT, *WRONG], ids=" ".join)
def test_help_and_usage_errors_import_no_torch(arguments):
    script = (
        f"import sys; from torchreid_adv import cli; cli.main({arguments!r});"
        "assert not {'torch', 'torchreid', 'torchvision', 'scipy'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
