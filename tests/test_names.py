"""Variables are named after what they hold: no ``found``, ``own`` or ``one`` in any room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import torchreid_adv

ROOT = Path(torchreid_adv.__file__).parent
EMPTY = {"own", "found", "chosen", "one", "there", "here", "said", "made"} | {
    *("wanted", "given", "kept", "way", "what", "rest", "done"),
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


def test_names_say_what_they_hold():
    places = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sorted(ROOT.rglob("*.py"))
        for name, line in empty_names(path.read_text(encoding="utf-8"))
    ]
    assert not places, f"name these variables after what they hold: {places}"


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
