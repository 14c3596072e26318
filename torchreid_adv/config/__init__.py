"""The config: torchreid's yacs tree with ``adv.*`` added, friendlier and stricter.

``add_adv_config(cfg)`` before merging, ``setup(cfg)`` after it. Whole numbers are accepted where a
float is declared. Unknown keys, wrong types and values out of range are errors that say how to fix
them. Only YAML files are read.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator

from yacs.config import CfgNode

from torchreid_adv.config.checks import (
    PER_ATTACK,
    check_finite,
    check_names,
    check_selection,
    check_values,
    defense_options,
    engine_names,
    set_engine,
    spell_names,
    split_options,
)
from torchreid_adv.config.keys import PATHS
from torchreid_adv.config.tree import (
    AdvConfig,
    as_file,
    convert,
    default_tree,
    leaves,
    lookup,
    plain,
)
from torchreid_adv.config.values import expanded, read_yaml
from torchreid_adv.errors import ConfigError

__all__ = [
    "PER_ATTACK",
    "AdvConfig",
    "CfgNode",
    "add_adv_config",
    "as_file",
    "check_finite",
    "check_selection",
    "current",
    "defense_options",
    "ensure_setup",
    "forget",
    "kept",
    "leaves",
    "lookup",
    "on_setup",
    "plain",
    "read_yaml",
    "engine_names",
    "set_engine",
    "setup",
    "spell_names",
    "split_options",
    "using",
]
_current: AdvConfig | None = None
on_setup: list[Callable[[AdvConfig], None]] = []  # called after plugins were imported


def add_adv_config(cfg: CfgNode) -> AdvConfig:
    """Turn a torchreid config tree into an :class:`AdvConfig` with ``adv.*`` in it, in place.

    The tree is remembered as the current one, which hooks inside torchreid read.
    """
    global _current
    convert(cfg)
    assert isinstance(cfg, AdvConfig)
    if "adv" not in cfg:
        cfg.adv = default_tree()
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


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Remember after a block the config that was remembered before, whatever is made inside."""
    global _current
    previous = _current
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
        ConfigError: the first mistake, and how to fix it.
    """
    for module in cfg.adv.plugins:
        _import_plugin(module)
    for listener in on_setup:
        listener(cfg)
    expand_paths(cfg)
    check_values(cfg)
    check_names(cfg)
    cfg.__dict__["_ready"] = True
    return cfg


def expand_paths(cfg: AdvConfig) -> None:
    """Write ``~`` out in every key that names files, also where one was assigned, in place."""
    for key in PATHS:
        section, _, name = key.rpartition(".")
        if lookup(cfg, key):
            lookup(cfg, section)[name] = expanded(key, lookup(cfg, key))


def _import_plugin(module: str) -> None:
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever a plugin raises on import
        raise ConfigError(
            f"adv.plugins names '{module}', which cannot be imported: {error}; "
            "is its folder on PYTHONPATH?"
        ) from error
