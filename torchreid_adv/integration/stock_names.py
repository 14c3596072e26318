"""The names that torchreid knows, read from its source while it is not imported."""

from __future__ import annotations

import ast
import functools

from torchreid_adv.integration.layout import imported_module, source_of, torchreid_module

TRANSFORMS = ("random_flip", "random_crop", "random_patch", "color_jitter", "random_erase")


def stock_names(module: str, table: str) -> tuple[str, ...]:
    """Return the names in one of torchreid's tables, with those that hooks have added to it.

    Importing torchreid takes seconds, so the source is read until it is imported.

    Args:
        module: dotted name of the module, as in :func:`torchreid_module`.
        table: name of the variable, a dict or a list of names.

    Raises:
        ConfigError: torchreid is not installed.
    """
    present = imported_module(module)
    names = _in_source(module, table) if present is None else None
    if names is None:
        return tuple(vars(present or torchreid_module(module)).get(table, ()))
    return names


@functools.cache
def _in_source(module: str, table: str) -> tuple[str, ...] | None:
    """Return the constant names of a table in a module's source; None = it is written otherwise."""
    path = source_of(module)
    body = [] if path is None else ast.parse(path.read_bytes(), filename=str(path)).body
    for node in body:
        if isinstance(node, ast.Assign) and _assigns(node, table):
            return _constants(node.value)
    return None


def _assigns(node: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def _constants(value: ast.expr) -> tuple[str, ...] | None:
    items = value.keys if isinstance(value, ast.Dict) else getattr(value, "elts", [None])
    names = [item.value for item in items if isinstance(item, ast.Constant)]
    return tuple(map(str, names)) if len(names) == len(items) else None
