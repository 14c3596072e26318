"""The tree of keys: yacs's, friendlier and stricter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from yacs.config import CfgNode

from torchreid_adv.config.yaml_file import read_yaml
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.examples import found
from torchreid_adv.keys import KEYS, Key

MAX_DEPTH = 16  # sections within sections
SHOWN = 80  # characters of a value in an error
DECLARED: dict[str, Key] = {f"adv.{key.name}": key for key in KEYS}


class AdvConfig(CfgNode):
    """A yacs tree whose merges name the nearest known key and accept an int for a float."""

    def merge_from_file(self, cfg_filename: str) -> None:
        """Merge a YAML file, or the example of that name, see :func:`torchreid_adv.examples.found`.

        Raises:
            ConfigError: no such file, no YAML mapping, an unknown key or a value of a wrong type.
        """
        self._adopt(read_yaml(found(cfg_filename)), "")

    def merge_from_other_cfg(self, cfg_other: CfgNode) -> None:
        """Merge another tree, under the same rules as a file."""
        self._adopt(cfg_other, "")

    def merge_from_list(self, cfg_list: list[Any]) -> None:
        """Merge ``[key, value, key, value...]`` as they come from a command line.

        Raises:
            ConfigError: a value is missing, an unknown key, or a value of a wrong type.
        """
        items = list(cfg_list or [])
        if len(items) % 2:
            raise ConfigError(
                f"config options come in pairs 'KEY VALUE'; '{items[-1]}' has no value"
            )
        for key, value in zip(items[::2], items[1::2], strict=True):
            tree: Any = value
            for part in reversed(str(key).split(".")):
                tree = {part: tree}
            self._adopt(tree, "")

    def _adopt(self, values: dict[str, Any], path: str) -> None:
        self.__dict__.pop("_ready", None)
        for name, value in values.items():
            key = f"{path}{name}"
            if not isinstance(name, str) or key.count(".") >= MAX_DEPTH:
                raise ConfigError(f"config keys are words, few sections deep, got {shown(key)}")
            if name not in self and not self.is_new_allowed():
                known = [f"{path}{k}" for k in self]
                raise ConfigError(f"unknown config key '{key}'{suggest(key, known)}")
            present = self.get(name)
            if isinstance(present, CfgNode) or (isinstance(value, dict) and name not in self):
                self._adopt_node(name, value, key)
            else:
                self[name] = (
                    coerce(_literal(value), present, key) if name in self else _literal(value)
                )

    def _adopt_node(self, name: str, value: Any, key: str) -> None:
        if not isinstance(value, dict):
            raise ConfigError(f"config key '{key}' is a section of keys, got {shown(value)}")
        if name not in self:
            self[name] = AdvConfig(new_allowed=True)
        self[name]._adopt(value, f"{key}.")


def convert(node: CfgNode) -> None:
    """Make a yacs tree an :class:`AdvConfig`, in place."""
    object.__setattr__(node, "__class__", AdvConfig)  # yacs would file it as a key
    for child in node.values():
        if isinstance(child, CfgNode):
            convert(child)


def default_tree() -> AdvConfig:
    """Return ``adv.*`` with every key at its default."""
    tree = AdvConfig()
    for key in KEYS:
        *sections, name = key.name.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, AdvConfig())
        default = key.default
        node[name] = AdvConfig(new_allowed=True) if default == {} else plain(default)
    return tree


def _literal(value: Any) -> Any:
    """Read a string as the Python literal it spells ("5", "None", "['a']"), else keep it."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def coerce(value: Any, present: Any, key: str) -> Any:
    """Return a value as the type of the one that is present, or of the key's declaration.

    Raises:
        ConfigError: it is of another type.
    """
    declared = DECLARED.get(key)
    kind = declared.kind if declared and declared.default is None else type(present)
    optional = declared is not None and declared.default is None
    if type(value) is kind or (optional and value is None) or kind in (object, type(None)):
        return value
    if kind is float and type(value) is int:
        return float(value)
    if kind in (list, tuple) and isinstance(value, (list, tuple)):
        return kind(value)
    if kind is list and isinstance(value, str):
        return [value]
    if kind is str and not isinstance(value, (dict, list, tuple, set, bytes)):
        return "" if value is None else str(value)
    hint = ", in gray levels: write 8, not 8/255" if declared and declared.unit == "levels" else ""
    raise ConfigError(f"config key '{key}' takes a {kind.__name__}{hint}; got {shown(value)}")


def shown(value: Any) -> str:
    """Return a value as an error shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def lookup(cfg: CfgNode, key: str, default: Any = None) -> Any:
    """Return the value of a dotted key, or ``default`` where the tree does not have it."""
    node: Any = cfg
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return default
        node = node[part]
    return node


def plain(node: Any) -> Any:
    """Return a tree as plain dicts and lists, for JSON."""
    if isinstance(node, dict):
        return {str(k): plain(v) for k, v in node.items()}
    return [plain(v) for v in node] if isinstance(node, (list, tuple)) else node


def leaves(node: CfgNode, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys of a tree with their values; an empty section is a value."""
    for name, value in node.items():
        if isinstance(value, CfgNode) and value:
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value
