"""Fitted distances in files."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from torchreid_adv.distances.fitted import FittedDistance
from torchreid_adv.errors import ConfigError
from torchreid_adv.jobs.files import write_bytes
from torchreid_adv.registry import DISTANCES

_CENTER, _FACTOR, _ABOUT = "center", "factor", "distance"


def save_distance(path: Path, distance: FittedDistance) -> None:
    """Write a fitted distance as a safetensors file, whole or not at all.

    Raises:
        ConfigError: it has not been fitted.
    """
    if distance.factor is None or distance.center is None:
        raise ConfigError(f"the distance '{distance.name}' has not been fitted; fit it, then save")
    tensors = {_CENTER: distance.center.cpu(), _FACTOR: distance.factor.cpu()}
    about = json.dumps(distance.settings, sort_keys=True)
    write_bytes(path, save(tensors, {_ABOUT: about}))


def load_distance(path: Path) -> FittedDistance:
    """Return the fitted distance of a file.

    Raises:
        ConfigError: there is no such file, or it holds something else.
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
