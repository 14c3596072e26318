"""A config as a file: every key, or those that differ from another config, as YAML to merge."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from yacs.config import CfgNode

from torchreid_adv.config.values import DECLARED
from torchreid_adv.core import pixels

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
