"""Variables are named after what they hold: no ``found``, ``own`` or ``one`` in any room.

The rooms still to do are listed with their counts, which may only fall.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import torchreid_adv

ROOT = Path(torchreid_adv.__file__).parent
EMPTY = {"own", "found", "chosen", "one", "there", "here", "said", "made"} | {
    *("wanted", "given", "kept", "way", "what", "rest", "done"),
}
LEFT = {  # part of the package -> such names in it; lower a number when you rename some
    "attacks": 7,
    "config": 7,
    "core": 5,
    "corruptions": 9,
    "errors.py": 2,
    "moved.py": 1,
    "python": 11,
    "registry.py": 1,
    "testing.py": 9,
}


def fields_of(tree: ast.AST) -> set[ast.AST]:
    """Return the names that class bodies bind: fields, which other code and files know."""
    return {
        target
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, (ast.Assign, ast.AnnAssign))
        for target in ast.walk(statement)
    }


def empty_names(source: str) -> Iterator[tuple[str, int]]:
    """Yield name and line of each variable and parameter whose name says nothing."""
    tree = ast.parse(source)
    fields = fields_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in fields:
            name = node.id
        elif isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.ExceptHandler):
            name = node.name or ""
        else:
            continue
        if name.lstrip("_") in EMPTY:
            yield name, node.lineno


def part_of(path: Path) -> str:
    """Return the listed part that a file belongs to, its room where none is listed."""
    name = path.relative_to(ROOT).as_posix()
    listed = [part for part in LEFT if name == part or name.startswith(f"{part}/")]
    return max(listed, key=len, default=name.partition("/")[0])


def counted() -> tuple[Counter[str], dict[str, list[str]]]:
    """Return the number of such names of each part, and where they are."""
    counts: Counter[str] = Counter()
    places: dict[str, list[str]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        part = part_of(path)
        for name, line in empty_names(path.read_text(encoding="utf-8")):
            counts[part] += 1
            places.setdefault(part, []).append(f"{path.relative_to(ROOT)}:{line} {name}")
    return counts, places


def test_names_say_what_they_hold():
    counts, places = counted()
    over = {part: places[part] for part, count in counts.items() if count > LEFT.get(part, 0)}
    assert not over, f"name these variables after what they hold: {over}"


def test_each_part_to_do_is_there():
    assert not [part for part in LEFT if not (ROOT / part).exists()]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("found = 1", ["found"]),
        ("def read(own, *, wanted): pass", ["own", "wanted"]),
        ("[one for one in images]", ["one"]),
        ("for _one, image in pairs: pass", ["_one"]),
        ("class Step:\n    kept: bool = False", []),
        ("class Step:\n    def take(self):\n        kept = self.kept", ["kept"]),
        ("step.kept = found", []),
    ],
)
def test_the_check_finds_them(source, names):
    assert [name for name, _ in empty_names(source)] == names
