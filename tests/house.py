"""The house in numbers: files, lines, imports, and the files that a value crosses.

``make house`` prints them; ``flows.py`` says how the files that a value crosses are counted.
"""

from __future__ import annotations

import ast
import tempfile
from collections import Counter
from pathlib import Path

from flows import FLOWS, WANTED
from test_imports import ORDER, stage

import torchreid_adv

ROOT = Path(torchreid_adv.__file__).parent
LONG, SHORT = 350, 80  # lines between which a file should stay


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, modules: set[str], *, everywhere: bool = False) -> set[str]:
    """Return the package's modules that a file imports: at its top, or also inside functions."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree) if everywhere else tree.body)
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (named & modules) or ({node.module or ""} & modules)
    return found - {module_of(path)}


def backward() -> list[str]:
    """Return the imports, also those inside functions, of rooms that are not to the left."""
    modules = {module_of(path) for path in files()}
    pairs = [
        (module_of(p), other) for p in files() for other in imports(p, modules, everywhere=True)
    ]
    return [
        f"{module} imports {other}"
        for module, other in sorted(pairs)
        if stage(module) != stage(other) and ORDER[stage(other)] >= ORDER[stage(module)]
    ]


def graph() -> dict[str, set[str]]:
    modules = {module_of(path) for path in files()}
    return {module_of(path): imports(path, modules) for path in files()}


def circles(needs: dict[str, set[str]]) -> list[str]:
    """Return the modules that cannot be imported one after the other."""
    left = dict(needs)
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


def longest(needs: dict[str, set[str]]) -> list[str]:
    """Return the longest chain of imports."""
    chains: dict[str, list[str]] = {}

    def chain(name: str) -> list[str]:
        if name not in chains:
            chains[name] = [
                name,
                *max((chain(other) for other in needs[name]), key=len, default=[]),
            ]
        return chains[name]

    return max((chain(name) for name in needs), key=len)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def report() -> str:
    sizes = {path: lines(path) for path in files()}
    rooms = Counter(path.relative_to(ROOT).parts[0].removesuffix(".py") for path in sizes)
    in_rooms: Counter[str] = Counter()
    for path, count in sizes.items():
        in_rooms[path.relative_to(ROOT).parts[0].removesuffix(".py")] += count
    needs = graph()
    chain = longest(needs)
    rows = [f"{'room':<16}{'files':>6}{'lines':>8}"]
    rows += [f"{room:<16}{rooms[room]:>6}{in_rooms[room]:>8}" for room in sorted(rooms)]
    rows += [
        f"{'all':<16}{len(sizes):>6}{sum(sizes.values()):>8}",
        f"files over {LONG} lines: {sum(count > LONG for count in sizes.values())}",
        f"files under {SHORT} lines: {sum(count < SHORT for count in sizes.values())}",
        f"modules in circles: {len(circles(needs))}",
        f"imports that run backward: {len(backward())}",
        f"longest chain of imports: {len(chain)}",
    ]
    return "\n".join(rows)


def crossed() -> str:
    """Walk the flows, and return the files of each, with the first function that had the value."""
    parts = []
    for name, walk in FLOWS.items():
        with tempfile.TemporaryDirectory() as folder:
            seen = walk(Path(folder))
        parts.append(f"\n{name}: {len(seen)} files, wanted {WANTED[name]}")
        parts += [f"  {file:<36} {function}" for file, function in seen.items()]
    return "\n".join(parts)


if __name__ == "__main__":
    print(report())
    print(crossed())
