"""The package never runs what it reads: looked up in its syntax trees."""

import ast
from pathlib import Path

import pytest

import torchreid_adv

ROOT = Path(torchreid_adv.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

MODULES = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve",
    "code", "codeop", "runpy", "imp", "pty", "telnetlib", "xmlrpc",
}  # fmt: skip
BUILTINS = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
CALLS = {
    "os.system", "os.popen", "os.spawnl", "os.spawnv", "os.execv", "os.execl", "os.startfile",
    "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn",
    "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.unsafe_load_all",
    "yaml.full_load_all", "torch.hub.load", "torch.jit.load", "torch.export.load",
    "torch.export.pt2_archive.load_pt2", "torch.package.PackageImporter",
    "tempfile.mktemp", "pandas.read_pickle", "webbrowser.open",
}  # fmt: skip
METHODS = {"extractall", "_extract_member", "unpack_archive", "all_gather_object",
           "broadcast_object_list", "gather_object", "scatter_object_list"}  # fmt: skip

ALLOWED = {
    "cli/run.py": ["imports runpy"],  # the launcher runs the script that its user names
    # an Unpickler that finds inert classes alone, whatever a file names
    "integration/inert.py": ["imports pickle.Unpickler"],
    # networks that a config names as programs, see docs/threat_model.md
    "models/program_files.py": ["torch.jit.load", "torch.export.load"],
}


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """Return ``package.module.name`` of what is called, imports resolved; "" for anything else."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        before = dotted(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    return ""


def imports(tree: ast.AST) -> dict[str, str]:
    """Return name in the module -> what it stands for."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def keyword(call: ast.Call, name: str) -> object:
    for given in call.keywords:
        if given.arg == name:
            return given.value.value if isinstance(given.value, ast.Constant) else given.value
    return None


def unsafe(tree: ast.AST) -> list[str]:
    """Return what is unsafe in a module, with its lines."""
    names = imports(tree)
    found = [f"imports {whole}" for whole in names.values() if whole.split(".")[0] in MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found += [f"line {node.lineno}: {fault}" for fault in unsafe_call(node, names)]
        elif isinstance(node, ast.Attribute) and node.attr in ("UnsafeLoader", "FullLoader"):
            found.append(f"line {node.lineno}: {node.attr}")
    return found


def unsafe_call(node: ast.Call, names: dict[str, str]) -> list[str]:
    name = dotted(node.func, names)
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    found = []
    if name in BUILTINS or name in CALLS or method in METHODS or name in METHODS:
        found.append(name or method)
    if keyword(node, "shell") not in (None, False):
        found.append(f"{name} in a shell")
    if keyword(node, "allow_pickle") not in (None, False):
        found.append(f"{name} with pickle")
    weights_only = keyword(node, "weights_only") is True and keyword(node, "pickle_module") is None
    if name in ("torch.load", "torch.serialization.load") and not weights_only:
        found.append("torch.load of more than weights")
    if name in ("numpy.load", "np.load") and keyword(node, "allow_pickle") is not False:
        found.append("numpy.load that does not refuse pickles")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unsafe(path):
    allowed = ALLOWED.get(path.relative_to(ROOT).as_posix(), [])
    found = unsafe(ast.parse(path.read_text(encoding="utf-8")))
    assert [fault.split(": ")[-1] for fault in found] == allowed


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from pickle import loads", "import marshal as m",
        "import os\nos.system('x')",
        "from os import system as s\ns('x')", "eval('1')", "exec('1')", "__import__('os')",
        "import subprocess\nsubprocess.run('x', shell=True)", "import yaml\nyaml.load(x)",
        "import yaml\nyaml.load(x, Loader=yaml.FullLoader)",
        "from yaml import unsafe_load\nunsafe_load(x)",
        "import torch\ntorch.load(x)", "import torch\ntorch.load(x, weights_only=False)",
        "from torch import load\nload(x)", "import torch\ntorch.load(x, weights_only=flag)",
        "import torch\ntorch.load(x, weights_only=True, pickle_module=m)",
        "import tarfile\ntarfile.open(x).extractall()", "import numpy as np\nnp.load(x)",
        "import numpy as np\nnp.load(x, allow_pickle=True)",
        "import torch.distributed as d\nd.all_gather_object(a, b)",
        "import tempfile\ntempfile.mktemp()", "import torch\ntorch.jit.load(x)",
        "import torch\ntorch.export.load(x)", "from torch import jit\njit.load(x)",
    ],
)  # fmt: skip
def test_unsafe_code_is_noticed(text):
    assert unsafe(ast.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.load(x, weights_only=True)", "model.eval()",
        "import re\nre.compile('x')",
        "import yaml\nyaml.safe_load(x)", "import subprocess\nsubprocess.run(['x'])",
        "import numpy as np\nnp.load(x, allow_pickle=False)",
        "from safetensors.torch import load_file",
    ],
)  # fmt: skip
def test_safe_code_passes(text):
    assert not unsafe(ast.parse(text))
