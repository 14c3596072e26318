"""The config: torchreid's yacs tree with ``adv.*`` added, friendlier and stricter.

``add_adv_config(cfg)`` before merging, ``setup(cfg)`` after it. Whole numbers are accepted where a
float is declared; unknown keys, wrong types and values out of range are errors that say how to mend
them; only YAML files are read.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from torchreid_adv import pixels
from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.examples import found
from torchreid_adv.keys import KEYS, Key
from torchreid_adv.registry import ATTACKS, DEFENSES, DISTANCES, ENGINES, TRANSFORMS

MAX_YAML_BYTES = 100_000
MAX_YAML_VALUES = 10_000  # with every alias written out
MAX_DEPTH = 16  # sections within sections
SHOWN = 80  # characters of a value in an error
STOCK_METRICS = ("euclidean", "cosine")


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
                raise ConfigError(f"config keys are words, few sections deep, got {_shown(key)}")
            if name not in self and not self.is_new_allowed():
                known = [f"{path}{k}" for k in self]
                raise ConfigError(f"unknown config key '{key}'{suggest(key, known)}")
            present = self.get(name)
            if isinstance(present, CfgNode) or (isinstance(value, dict) and name not in self):
                self._adopt_node(name, value, key)
            else:
                self[name] = (
                    _coerce(_literal(value), present, key) if name in self else _literal(value)
                )

    def _adopt_node(self, name: str, value: Any, key: str) -> None:
        if not isinstance(value, dict):
            raise ConfigError(f"config key '{key}' is a section of keys, got {_shown(value)}")
        if name not in self:
            self[name] = AdvConfig(new_allowed=True)
        self[name]._adopt(value, f"{key}.")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file as a mapping; code is never run.

    Raises:
        ConfigError: another kind of file, too large, unreadable, or not a mapping.
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
        raise ConfigError(f"cannot read config file '{path}': {error.strerror}") from error
    except Exception as error:  # what YAML's own constructors raise has no common base
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"config file '{path}' is not valid YAML: {reason}") from error
    if not isinstance(content, dict) or not all(isinstance(k, str) for k in content):
        raise ConfigError(f"config file '{path}' must hold 'section: {{key: value}}' mappings")
    return content


def _parse(text: str) -> Any:
    """Read YAML's safe subset, without keys given twice and aliases that grow or never end."""
    loader = yaml.SafeLoader(text)
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


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _literal(value: Any) -> Any:
    """Read a string as the Python literal it spells ("5", "None", "['a']"), else keep it."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def _coerce(value: Any, present: Any, key: str) -> Any:
    declared = _DECLARED.get(key)
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
    raise ConfigError(f"config key '{key}' takes a {kind.__name__}{hint}; got {_shown(value)}")


_DECLARED: dict[str, Key] = {f"adv.{key.name}": key for key in KEYS}
_current: AdvConfig | None = None
on_setup: list[Callable[[AdvConfig], None]] = []  # called after plugins were imported


def add_adv_config(cfg: CfgNode) -> AdvConfig:
    """Turn a torchreid config tree into an :class:`AdvConfig` with ``adv.*`` in it, in place.

    The tree is remembered as the current one, which hooks inside torchreid read.
    """
    global _current
    _convert(cfg)
    assert isinstance(cfg, AdvConfig)
    if "adv" not in cfg:
        cfg.adv = _default_tree()
    _current = cfg
    return cfg


def current() -> AdvConfig:
    """Return the remembered config, or one that holds the defaults of ``adv.*`` only."""
    return _current if _current is not None else add_adv_config(AdvConfig())


@contextlib.contextmanager
def using(cfg: AdvConfig) -> Iterator[None]:
    """Make a config the current one for a block."""
    global _current
    previous, _current = _current, cfg
    try:
        yield
    finally:
        _current = previous


def forget() -> None:
    """Forget the remembered config."""
    global _current
    _current = None


def ensure_setup() -> AdvConfig:
    """Run :func:`setup` once on the current config; every hook calls this first."""
    cfg = current()
    return cfg if cfg.__dict__.get("_ready") else setup(cfg)


def setup(cfg: AdvConfig) -> AdvConfig:
    """Import plugins and check every name, option and range, before any data is read.

    Raises:
        ConfigError: the first thing that is wrong, and how to mend it.
    """
    for module in cfg.adv.plugins:
        _import_plugin(module)
    for listener in on_setup:
        listener(cfg)
    _check_values(cfg)
    _check_names(cfg)
    cfg.__dict__["_ready"] = True
    return cfg


def _import_plugin(module: str) -> None:
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever a plugin raises on import
        raise ConfigError(
            f"adv.plugins names '{module}', which cannot be imported: {error}; "
            "is its folder on PYTHONPATH?"
        ) from error


def _check_values(cfg: AdvConfig) -> None:
    for key in KEYS:
        value = lookup(cfg, f"adv.{key.name}")
        if isinstance(value, CfgNode):
            continue  # options: checked against the signature of what takes them
        _coerce(value, value if key.default is None else key.default, f"adv.{key.name}")
        wrong = key.check(value)
        if wrong:
            raise ConfigError(f"config key 'adv.{key.name}' {wrong}, got {_shown(value)}")


def _check_names(cfg: AdvConfig) -> None:
    adv = cfg.adv
    ATTACKS.check_options(adv.attack.name, dict(adv.attack.options))
    ATTACKS.check_options(adv.training.attack, dict(adv.training.options))
    for name in adv.training.report:
        ATTACKS.get(name)
    if adv.engine:
        ENGINES.get(adv.engine)
    for option in adv.attack.options:
        key = "metric" if option == "distance" else option
        if key in adv.attack:
            raise ConfigError(f"adv.attack.options.{option} stands for adv.attack.{key}; set that")
    if adv.defense.name:
        DEFENSES.build(adv.defense.name, **defense_options(cfg))
    else:
        _check_no_defense(adv.defense)
    names = [lookup(cfg, key) or [] for key in ("data.sources", "data.targets")]
    check_selection(adv.selection.data, *names)
    for metric in filter(None, (adv.attack.metric, lookup(cfg, "test.dist_metric", ""))):
        if ":" not in metric:  # a module:function is found when the distance is built
            DISTANCES.get(metric)
    for section, table in (("distances", DISTANCES), ("transforms", TRANSFORMS)):
        for name, options in adv[section].items():
            if not isinstance(options, dict):
                raise ConfigError(
                    f"adv.{section}.{name} is a section of keywords, got {_shown(options)}"
                )
            table.check_options(name, dict(options))


def check_selection(name: str, sources: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse to choose checkpoints by a data set that is trained or tested on.

    Args:
        name: ``adv.selection.data``; "" = none.
        sources: what is trained on.
        targets: what is tested on.

    Raises:
        ConfigError: it is one of them.
    """
    for names, verb in ((targets, "tested"), (sources, "trained")):
        if name and name in names:
            raise ConfigError(
                f"adv.selection.data '{name}' is {verb} on: a checkpoint is chosen by a data set "
                "that has no other part in the run; name another one"
            )


def defense_options(cfg: AdvConfig) -> dict[str, Any]:
    """Return the keywords of the defense: its options, its preset, the size of the input.

    Raises:
        ConfigError: a preset is given twice, or to a defense that has none.
    """
    chosen = cfg.adv.defense
    options, known = dict(plain(chosen.options)), DEFENSES.options(chosen.name)
    if chosen.preset:
        if "preset" in options:
            raise ConfigError("adv.defense.options.preset stands for adv.defense.preset; set that")
        if "preset" not in known:
            raise ConfigError(f"the defense '{chosen.name}' has no presets; leave it empty")
        options["preset"] = chosen.preset
    size = [lookup(cfg, f"data.{side}") for side in ("height", "width")]
    if "final" in known and all(size):
        options.setdefault("final", size)
    return options


def _check_no_defense(chosen: CfgNode) -> None:
    idle = [key for key in ("preset", "options", "draws", "eot_samples") if chosen[key]]
    if idle:
        raise ConfigError(
            f"adv.defense.{idle[0]} is set, but no defense; name one with adv.defense.name"
        )


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


def resolved_lines(cfg: AdvConfig) -> Iterator[str]:
    """Yield ``key: value`` for the whole tree, gray levels also in [0, 1]."""
    for key, value in leaves(cfg):
        declared = _DECLARED.get(key)
        both = declared is not None and declared.unit == "levels" and value is not None
        unit = f"    # gray levels = {pixels.from_levels(value):.6f} of [0, 1]" if both else ""
        yield f"{key}: {json.dumps(plain(value))}{unit}"


def leaves(node: CfgNode, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys of a tree with their values; an empty section is a value."""
    for name, value in node.items():
        if isinstance(value, CfgNode) and value:
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _convert(node: CfgNode) -> None:
    object.__setattr__(node, "__class__", AdvConfig)  # yacs would file it as a key
    for child in node.values():
        if isinstance(child, CfgNode):
            _convert(child)


def _default_tree() -> AdvConfig:
    tree = AdvConfig()
    for key in KEYS:
        *sections, name = key.name.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, AdvConfig())
        default = key.default
        node[name] = AdvConfig(new_allowed=True) if default == {} else plain(default)
    return tree
