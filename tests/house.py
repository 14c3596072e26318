"""The house in numbers: files, lines, imports, and the files that a value crosses.

``make house`` prints them. A flow is walked, not listed: a small run is made while every function
of the package is watched, and a file counts when one of its functions has the value, or an object
that holds it, in a variable of its own when it returns.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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


def holds(thing: object, is_wanted: Callable[[object], bool], depth: int = 2) -> bool:
    """Tell whether a variable is the value, or an object that holds it; a config is none."""
    if is_wanted(thing):
        return True
    if depth == 0 or isinstance(thing, (dict, list, type)) or not hasattr(thing, "__dict__"):
        return False
    own = vars(thing)
    if type(thing).__module__.partition(".")[0] != "torchreid_adv":
        return False
    return any(holds(value, is_wanted, depth - 1) for value in own.values())


@contextmanager
def watched(is_wanted: Callable[[object], bool]) -> Iterator[Counter[str]]:
    """Count, by file, the returns of functions that had a value in a variable of their own."""
    seen: Counter[str] = Counter()
    base = str(ROOT)

    def watch(frame, event, argument):
        if event != "return" or not frame.f_code.co_filename.startswith(base):
            return
        name = frame.f_code.co_filename[len(base) + 1 :]
        if seen[name] < 1 and any(holds(v, is_wanted) for v in frame.f_locals.values()):
            seen[name] += 1

    sys.setprofile(watch)
    try:
        yield seen
    finally:
        sys.setprofile(None)


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
        f"longest chain of imports: {len(chain)}",
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    print(report())
