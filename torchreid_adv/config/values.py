"""What a config value means: its spelling is read as the type that its key is declared with.

Spellings come from YAML files, where code is never run and nothing grows out of bounds, and from
command lines.
"""

from __future__ import annotations

import ast
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from torchreid_adv.config.examples import near_example
from torchreid_adv.config.keys import KEYS, PATHS, STOCK_LISTS, Key
from torchreid_adv.errors import ConfigError

MAX_YAML_BYTES = 100_000
MAX_YAML_VALUES = 10_000  # with every alias written out
SHOWN = 80  # characters of a value in an error
DECLARED: dict[str, Key] = {f"adv.{key.name}": key for key in KEYS}
BOOLS = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
WORDS = {bool: "a bool (True or False)", int: "an int (a whole number)", str: "a str (text)"}
_MOST_BITS = 1024  # of a whole number; beyond it no float holds it
_HOME = re.compile(r"(?:(?<=:)|^)~[^/:\\]*(?=[/\\]|$)")  # ~ or ~user, also after 'label=name:'


def coerce(value: Any, present: Any, key: str) -> Any:
    """Return a value as the type of the one that is present, or of the key's declaration.

    Args:
        value: from Python, from YAML (see :class:`Scalar`), or the characters of a command line.
            A key that takes a string takes the characters unchanged.
        present: the value that the key has.
        key: dotted.

    Raises:
        ConfigError: it is of another type, or a number that is too large.
    """
    declared = DECLARED.get(key)
    optional = declared is not None and declared.default is None
    kind = declared.kind if declared and optional else type(present)
    if kind is type(None) and key in PATHS:
        kind = str  # a keyword of a registered entry
    if kind is str:
        read = _text(value, key)
    elif kind in (list, tuple):
        read = _sequence(value, kind, key)
    else:
        read = literal(value)
        if kind is bool and isinstance(value, str):
            read = BOOLS.get(value.lower(), read)
    _refuse_huge(read, key)
    if kind is float and type(read) is int:
        read = float(read)
    if type(read) is kind or (optional and read is None) or kind in (object, type(None)):
        return expanded(key, read)
    hint = ", in gray levels: write 8, not 8/255" if declared and declared.unit == "levels" else ""
    takes = WORDS.get(kind, f"a {kind.__name__}")
    raise ConfigError(f"config key '{key}' takes {takes}{hint}; got {shown(values(value))}")


def literal(value: Any) -> Any:
    """Read a string as the Python literal it spells ("5", "None", "['a']"), else keep it."""
    if not isinstance(value, str):
        return values(value)
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def unquoted(value: Any) -> Any:
    """Return the text inside a value in quotes, such as ``"'a b'"``, as yacs reads it."""
    quoted = isinstance(value, str) and len(value) > 1 and value[0] == value[-1] in ("'", '"')
    read = literal(value) if quoted else value
    return read if isinstance(read, str) else value


def _text(value: Any, key: str) -> Any:
    if isinstance(value, Scalar):
        if value.value is None:
            return value.text if value.text == "~" and key in PATHS else ""
        return value.text
    if value is None:
        return ""
    if isinstance(value, float):
        raise ConfigError(
            f"config key '{key}' takes a str (text), and a number may be written in several ways; "
            f"put quotes around {value!r}"
        )
    return str(value) if isinstance(value, (int, bool)) and _fits(value) else value


def _sequence(value: Any, kind: type, key: str) -> Any:
    """Return a list of what is given as one, or as text: ``[a, b]``, ``"['a', 'b']"``, ``a``."""
    if isinstance(value, str):
        read = literal(value)
        value = read if isinstance(read, (list, tuple)) else read_list(value) or [_item(value, key)]
    if not isinstance(value, (list, tuple)):
        return values(value)
    items = kind(_items(values(list(value)), key))
    odd = next((item for item in items if _item_kind(key) is str and _is_number(item)), None)
    if odd is not None:
        raise ConfigError(
            f"config key '{key}' takes a list of strings, got the number {shown(odd)}; put quotes "
            f"around it"
        )
    return items


def _items(items: list[Any], key: str) -> list[Any]:
    """Read the words of a list of numbers as numbers.

    Raises:
        ConfigError: one of them is none.
    """
    if _item_kind(key) not in (int, float):
        return items
    read = [literal(item) for item in items]
    odd = next((item for item in read if not _is_number(item)), None)
    if odd is not None:
        hint = ", in gray levels: write 8, not 8/255" if "gray levels" in DECLARED[key].unit else ""
        raise ConfigError(f"config key '{key}' takes a list of numbers{hint}; got {shown(odd)}")
    return read


def _item(text: str, key: str) -> Any:
    """Return what one word means where a list is expected."""
    return text if _item_kind(key) is str else literal(text)


def _item_kind(key: str) -> type:
    declared = DECLARED.get(key)
    if declared is None:
        return STOCK_LISTS.get(key, object)
    if declared.default:
        return type(declared.default[0])
    return str if declared.kind is object else declared.kind


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _refuse_huge(value: Any, key: str) -> None:
    if isinstance(value, int) and not _fits(value):
        raise ConfigError(f"config key '{key}' is set to {shown(value)}, which is too large")
    children = value.values() if isinstance(value, dict) else value
    for child in children if isinstance(value, (list, tuple, set, dict)) else ():
        _refuse_huge(child, key)


def _fits(value: int) -> bool:
    return int(value).bit_length() < _MOST_BITS


def finite(value: Any) -> bool:
    """Return whether no number in a value is NaN or infinite."""
    if isinstance(value, float):
        return math.isfinite(value)
    children = value.values() if isinstance(value, dict) else value
    return not isinstance(value, (list, tuple, dict)) or all(map(finite, children))


def expanded(key: str, value: Any) -> Any:
    """Return the value of a key that names files with ``~`` and ``~user`` written out.

    Args:
        key: dotted; one that names no file keeps its value.
        value: a path, an entry such as ``label=name:path``, or a list of those.

    Raises:
        ConfigError: ``~user`` of somebody who has no home folder on this machine.
    """
    if key not in PATHS:
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(expanded(key, item) for item in value)
    return _HOME.sub(lambda match: _home(match[0], key), value) if isinstance(value, str) else value


def _home(name: str, key: str) -> str:
    home = os.path.expanduser(name)
    if home == name:
        raise ConfigError(
            f"{key} names the home folder of '{name[1:]}', who is not known on this machine; for "
            f"a folder of that name write './{name}'"
        )
    return home


def shown(value: Any) -> str:
    """Return a value as an error shows it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write out a number of many digits
        bits = value.bit_length() if isinstance(value, int) else 0
        return f"a number of {bits} bits" if bits else "a number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


@dataclass(frozen=True)
class Scalar:
    """A number, truth value, date or null in a YAML file, and the characters it is written in.

    Args:
        text: its characters in the file; a key that takes a string takes these.
        value: what YAML reads it as.
    """

    text: str
    value: Any


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file as a mapping; code is never run.

    Raises:
        ConfigError: another kind of file, too large, unreadable, or not a mapping.
    """
    content: dict[str, Any] = values(read_scalars(path))
    return content


def read_scalars(path: Path) -> dict[str, Any]:
    """Read a YAML file as :func:`read_yaml` does, with a :class:`Scalar` where it has no string.

    Raises:
        ConfigError: as :func:`read_yaml`.
    """
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(f"config files are YAML (.yaml), got '{path}'")
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"'{path}' is a folder or a device, not a config file")
        if path.stat().st_size > MAX_YAML_BYTES:
            raise ConfigError(f"config file '{path}' is larger than {MAX_YAML_BYTES} bytes")
        content = _parse(path.read_text(encoding="utf-8"))
    except ConfigError:
        raise
    except OSError as error:
        hint = near_example(path)
        raise ConfigError(f"cannot read config file '{path}': {error.strerror}{hint}") from error
    except Exception as error:  # what YAML's own constructors raise has no common base
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"config file '{path}' is not valid YAML: {reason}") from error
    if not isinstance(content, dict) or not all(isinstance(k, str) for k in content):
        raise ConfigError(f"config file '{path}' must hold 'section: {{key: value}}' mappings")
    return content


def values(node: Any) -> Any:
    """Return a node with every :class:`Scalar` replaced by its value."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, dict):
        return {key: values(child) for key, child in node.items()}
    return [values(child) for child in node] if isinstance(node, list) else node


def read_list(text: str) -> list[Any] | None:
    """Read ``[a, b]`` as YAML does; None if the text is not a list.

    Args:
        text: of a config value, such as a command line has.
    """
    try:
        content = values(_parse(text)) if text[:1] == "[" and len(text) < MAX_YAML_BYTES else None
    except Exception:  # see read_scalars
        return None
    return content if isinstance(content, list) else None


class _Loader(yaml.SafeLoader):
    """Keeps the text of everything that is not a string."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        value = super().construct_object(node, deep)
        if isinstance(value, bytes):
            raise yaml.YAMLError("it has a !!binary value, and no key takes bytes")
        plain = isinstance(node, yaml.ScalarNode) and not isinstance(value, (str, Scalar))
        return Scalar(node.value, value) if plain and node not in self._keys else value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        if isinstance(node, yaml.MappingNode):
            self._keys |= {key for key, _ in node.value}
        return super().construct_mapping(node, deep)

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._keys: set[Any] = set()


def _parse(text: str) -> Any:
    """Read YAML's safe subset, without keys given twice and aliases that grow or never end."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        _measure(node, {})
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _measure(node: yaml.Node | None, sizes: dict[int, int]) -> int:
    """Return how many values a node stands for; ``sizes`` holds 0 for a node being measured."""
    if isinstance(node, yaml.CollectionNode) and id(node) not in sizes:
        sizes[id(node)] = 0
        children = node.value
        if isinstance(node, yaml.MappingNode):
            _check_unique([key for key, _ in node.value])
            children = [child for pair in node.value for child in pair]
        sizes[id(node)] = 1 + sum(_measure(child, sizes) for child in children)
    size = sizes.get(id(node), 1)
    if not 0 < size <= MAX_YAML_VALUES:
        raise yaml.YAMLError(f"it holds itself, or more than {MAX_YAML_VALUES} values")
    return size


def _check_unique(keys: list[yaml.Node]) -> None:
    seen: set[str] = set()
    for key in keys:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise yaml.YAMLError(f"the key '{key.value}' is given twice\n{key.start_mark}")
            seen.add(key.value)
