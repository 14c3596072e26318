"""YAML files as mappings; code is never run, and nothing grows out of bounds."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from torchreid_adv.core.files import near_path
from torchreid_adv.errors import ConfigError, nearest

MAX_YAML_BYTES = 100_000
MAX_YAML_VALUES = 10_000  # with every alias written out


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
        hint = _near(path)
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
        found = values(_parse(text)) if text[:1] == "[" and len(text) < MAX_YAML_BYTES else None
    except Exception:  # see read_scalars
        return None
    return found if isinstance(found, list) else None


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


FOLDER = "configs"


def examples() -> Path | None:
    """Return the folder of the example configs; None where the package came without them."""
    here = Path(__file__).parents[1]
    if (here / FOLDER).is_dir():  # installed
        return here / FOLDER
    clone = here.parent
    return clone / FOLDER if (clone / "pyproject.toml").is_file() else None


def _near(path: Path) -> str:
    """Return a hint for a missing config file: a similar name, also among the example configs."""
    if path.exists():
        return ""
    examples_near = nearest(path.as_posix(), [name for name, _ in described()])
    hint = near_path(path) or (f"; did you mean '{examples_near}'?" if examples_near else "")
    return hint or "; torchreid-adv list configs shows the example configs"


def found(name: str | Path) -> Path:
    """Return the file that a config's name means.

    A file that exists is used. A name ``configs/...`` that does not exist in the current folder
    means the example of that name; the path of the file is printed to stderr.

    Args:
        name: as the user gave it.
    """
    path, folder = Path(name), examples()
    if path.exists() or path.parts[:1] != (FOLDER,) or ".." in path.parts or folder is None:
        return path
    example = folder.joinpath(*path.parts[1:])
    if not example.is_file():
        return path
    print(f"=> Taking the example config {example}", file=sys.stderr)
    return example


def described() -> list[tuple[str, str]]:
    """Return the name of each example and its first comment, sorted by name."""
    folder = examples()
    if folder is None:
        return []
    return [
        (f"{FOLDER}/{path.relative_to(folder).as_posix()}", _comment(path))
        for path in sorted(folder.rglob("*.yaml"))
    ]


def _comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
