"""Distances by name, from Python or a config; fitted distances saved and loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.files import write_bytes
from torchreid_adv.distances.base import Distance
from torchreid_adv.distances.fitted import FittedDistance
from torchreid_adv.distances.function import FunctionDistance
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import DISTANCES


def build_distance(name: str, *, normalize: bool = False) -> Distance:
    """Build a distance with its default options.

    Args:
        name: a registered distance, or ``module:function``, see :class:`FunctionDistance`.
        normalize: L2-normalize features first.

    Raises:
        ConfigError: the name is unknown; the error suggests the nearest one.
    """
    return _build(name, normalize, {})


def distance_of(cfg: AdvConfig, name: str, *, normalize: bool) -> Distance:
    """Build a distance with its options in ``adv.distances.<name>`` of a config.

    Args:
        cfg: the config.
        name: as in :func:`build_distance`.
        normalize: L2-normalize features first.

    Raises:
        ConfigError: the name or an option is unknown.
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
        raise ConfigError(
            f"the distance '{name}' is not a torchreid_adv Distance: {type(distance)}"
        )
    return distance


_CENTER, _FACTOR, _ABOUT = "center", "factor", "distance"


def save_distance(path: Path, distance: FittedDistance) -> None:
    """Write a fitted distance as a safetensors file, atomically.

    Raises:
        ConfigError: it has not been fitted.
    """
    if distance.factor is None or distance.center is None:
        raise ConfigError(f"the distance '{distance.name}' has not been fitted; fit it, then save")
    tensors = {_CENTER: distance.center.cpu(), _FACTOR: distance.factor.cpu()}
    about = json.dumps(distance.settings, sort_keys=True)
    write_bytes(path, save(tensors, {_ABOUT: about}))


def load_distance(path: Path) -> FittedDistance:
    """Load a fitted distance from a file.

    Raises:
        ConfigError: the file is missing or holds something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[_ABOUT])
            center, factor = (file.get_tensor(key) for key in (_CENTER, _FACTOR))
        name, normalize, options = (about[key] for key in ("name", "normalize", "options"))
        fits = center.ndim == 1 and factor.ndim == 2 and len(center) == len(factor)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"'{path}' cannot be read as a fitted distance: {' '.join(str(error).split())[:200]}"
        ) from error
    distance = DISTANCES.build(name, normalize=normalize, **options)
    if not fits or not isinstance(distance, FittedDistance):
        raise ConfigError(f"'{path}' holds no fitted distance")
    distance.set_map(factor, center)
    return distance
