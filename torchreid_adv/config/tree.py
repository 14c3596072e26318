"""The tree of keys: yacs's, friendlier and stricter; and a tree as a config file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

from yacs.config import CfgNode

from torchreid_adv.config.examples import found
from torchreid_adv.config.keys import KEYS
from torchreid_adv.config.values import DECLARED, coerce, read_scalars, shown, unquoted
from torchreid_adv.core import pixels
from torchreid_adv.errors import ConfigError, suggest

MAX_DEPTH = 16  # sections within sections
__all__ = ["DECLARED", "AdvConfig", "coerce", "shown"]


class AdvConfig(CfgNode):
    """A yacs tree whose merges name the nearest known key and accept an int for a float."""

    def merge_from_file(self, cfg_filename: str) -> None:
        """Merge a YAML file, or the example of that name (``examples.found``).

        Raises:
            ConfigError: no such file, no YAML mapping, an unknown key or a value of a wrong type.
        """
        self._adopt(read_scalars(found(os.path.expanduser(cfg_filename))), "")

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
            tree: Any = unquoted(value)
            for part in reversed(str(key).split(".")):
                tree = {part: tree}
            self._adopt(tree, "")

    def says(self, name: str) -> bool:
        """Tell whether a merge has set this key of the section, be it to its default."""
        return name in self.__dict__.get("_said", ())

    def _adopt(self, values: dict[str, Any], path: str) -> None:
        self.__dict__.pop("_ready", None)
        for name, value in values.items():
            key = f"{path}{name}"
            if not isinstance(name, str) or key.count(".") >= MAX_DEPTH:
                raise ConfigError(f"config keys are words, few sections deep, got {shown(key)}")
            if name not in self and not self.is_new_allowed():
                raise ConfigError(f"unknown config key '{key}'{self._near(name, value, path)}")
            present = self.get(name)
            if isinstance(present, CfgNode) or (isinstance(value, dict) and name not in self):
                self._adopt_node(name, value, key)
            else:
                self[name] = coerce(value, present, key)
                self.__dict__.setdefault("_said", set()).add(name)

    def _near(self, name: str, value: Any, path: str) -> str:
        """Return a hint for an unknown key: perhaps one of ours without its ``adv.``."""
        below, key, last, inside = self.get("adv", {}) if not path else None, name, name, value
        while isinstance(inside, dict) and len(inside) == 1 and isinstance(below, CfgNode):
            below, (last, inside) = below.get(last), next(iter(inside.items()))
            key = f"{key}.{last}"
        if isinstance(below, CfgNode) and last in below:
            return f"; did you mean 'adv.{key}'?"
        return suggest(name, self, before=path)

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


_PLAIN = re.compile(r"[A-Za-z_][\w-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}  # more than text to YAML


def as_file(cfg: CfgNode, default: CfgNode | None = None) -> str:
    """Return a config as YAML; gray levels are followed by their value in [0, 1].

    Args:
        cfg: the whole config.
        default: keys that are the same there are left out; None = all keys are written.
    """
    tree = cfg if default is None else differing(cfg, default)
    return "\n".join(_lines(tree)) or "{}  # every key is at its default"


def differing(cfg: CfgNode, default: CfgNode) -> dict[str, Any]:
    """Return the part of a tree that is not the same in another one; sections are dicts."""
    changed: dict[str, Any] = {}
    for name, value in cfg.items():
        other = default.get(name)
        if isinstance(value, dict) and isinstance(other, dict) and value:
            inside = differing(value, other)
            changed |= {name: inside} if inside else {}
        elif name not in default or value != other or type(value) is not type(other):
            changed[name] = value
    return changed


def _lines(tree: dict[str, Any], path: str = "", indent: str = "") -> Iterator[str]:
    for name, value in tree.items():
        key = f"{path}{name}"
        if isinstance(value, dict) and value:
            yield f"{indent}{_name(name)}:"
            yield from _lines(value, f"{key}.", f"{indent}  ")
        else:
            yield f"{indent}{_name(name)}: {_text(value)}{_unit(key, value)}"


def _name(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name.lower() not in _WORDS else _text(name)


def _text(value: Any) -> str:
    """Return a value in the part of YAML that is JSON."""
    readable = isinstance(value, str) and value.isprintable()
    return json.dumps(value, ensure_ascii=not readable, default=list)


def _unit(key: str, value: Any) -> str:
    declared = DECLARED.get(key)
    if declared is None or declared.unit != "levels" or value is None:
        return ""
    return f"  # gray levels = {pixels.from_levels(value):.6f} of [0, 1]"
