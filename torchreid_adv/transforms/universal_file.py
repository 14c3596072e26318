"""Universal perturbations in files: tensors, and a JSON header that says what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from torchreid_adv.errors import ConfigError
from torchreid_adv.jobs.files import write_bytes
from torchreid_adv.jobs.manifest import sha256
from torchreid_adv.pixels import LEVELS

_ABOUT = "universal"
PARTS = {"delta": 4, "color": 5}  # name -> dimensions: (1, 3, H, W) and (1, 3, R, G, B)


@dataclass(frozen=True)
class UniversalFile:
    """What a file holds.

    Args:
        tensors: ``delta`` (1, 3, H, W), ``color`` (1, 3, R, G, B) or both, pixel units of [0, 1].
        about: ``eps`` in gray levels, ``budget``, and what it was learned on and against.
        sha256: of the file.
    """

    tensors: dict[str, Tensor]
    about: dict[str, Any]
    sha256: str


def write_universal(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a safetensors file, whole or not at all; the same content gives the same bytes."""
    parts = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(parts, {_ABOUT: json.dumps(dict(about), sort_keys=True)}))


def read_universal(path: str | Path) -> UniversalFile:
    """Read what :func:`write_universal` wrote.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"there is no universal perturbation '{path}'; learn one with adv.engine meta_attack, "
            "which writes universal.safetensors into its data.save_dir"
        )
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[_ABOUT])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        eps, _ = float(about["eps"]), str(about["budget"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"'{path}' cannot be read as a universal perturbation: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    if not tensors or not all(_fits(*part) for part in tensors.items()) or not 0 <= eps <= LEVELS:
        raise ConfigError(f"'{path}' holds no universal perturbation that can be used")
    return UniversalFile(tensors, about, sha256(path.read_bytes()))


def _fits(name: str, value: Tensor) -> bool:
    shape = tuple(value.shape)
    whole = value.is_floating_point() and value.ndim == PARTS.get(name) and shape[:2] == (1, 3)
    cube = name != "color" or (len(set(shape[2:])) == 1 and shape[2] > 1)
    return whole and cube and 0 not in shape and bool(torch.isfinite(value).all())
