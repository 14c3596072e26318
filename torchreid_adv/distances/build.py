"""Distances by name, from Python or from a config."""

from __future__ import annotations

from typing import Any

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.distances.base import Distance
from torchreid_adv.distances.function import FunctionDistance
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import DISTANCES


def build_distance(name: str, *, normalize: bool = False) -> Distance:
    """Build a distance with the options it has by default.

    Args:
        name: a registered distance, or ``module:function``, see :class:`FunctionDistance`.
        normalize: L2-normalize features first.

    Raises:
        ConfigError: unknown name, with the nearest known one.
    """
    return _build(name, normalize, {})


def distance_of(cfg: AdvConfig, name: str, *, normalize: bool) -> Distance:
    """Build a distance with the options that a config gives it under ``adv.distances.<name>``.

    Args:
        cfg: the config.
        name: as :func:`build_distance`.
        normalize: L2-normalize features first.

    Raises:
        ConfigError: unknown name or option.
    """
    tables = lookup(cfg, "adv.distances", {})  # a name may hold dots
    return _build(name, normalize, dict(tables.get(name, {})))


def _build(name: str, normalize: bool, options: dict[str, Any]) -> Distance:
    if ":" in name:
        return FunctionDistance.named(name, normalize=normalize)
    if "normalize" in options:
        raise ConfigError(
            f"adv.distances.{name}.normalize stands for test.normalize_feature; set that"
        )
    name = DISTANCES.name_of(name)
    distance: Distance = DISTANCES.build(name, normalize=normalize, **options)
    if not isinstance(distance, Distance):
        raise ConfigError(f"the distance '{name}' is no torchreid_adv Distance: {type(distance)}")
    return distance
