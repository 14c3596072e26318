"""Universal perturbations in files: tensors, and a JSON header that says what they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.errors import ConfigError
from torchreid_adv.jobs.tensor_file import TensorFile, read_tensors, unreadable, write_tensors
from torchreid_adv.pixels import LEVELS

KIND = "universal"
WHAT = "a universal perturbation"
PARTS = {"delta": 4, "color": 5}  # name -> dimensions: (1, 3, H, W) and (1, 3, R, G, B)


def write_universal(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a safetensors file, whole or not at all; the same content gives the same bytes.

    Args:
        path: of the file.
        tensors: ``delta`` (1, 3, H, W), ``color`` (1, 3, R, G, B) or both, pixel units of [0, 1].
        about: ``eps`` in gray levels, ``budget``, and what it was learned on and against.
    """
    write_tensors(path, tensors, about, kind=KIND)


def read_universal(path: str | Path) -> TensorFile:
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
    found = read_tensors(path, kind=KIND, what=WHAT)
    try:
        eps, _ = float(found.about["eps"]), str(found.about["budget"])
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(path, WHAT, error) from error
    whole = bool(found.tensors) and all(_fits(*part) for part in found.tensors.items())
    if not whole or not 0 <= eps <= LEVELS:
        raise ConfigError(f"'{path}' holds no universal perturbation that can be used")
    return found


def _fits(name: str, value: Tensor) -> bool:
    shape = tuple(value.shape)
    whole = value.is_floating_point() and value.ndim == PARTS.get(name) and shape[:2] == (1, 3)
    cube = name != "color" or (len(set(shape[2:])) == 1 and shape[2] > 1)
    return whole and cube and 0 not in shape and bool(torch.isfinite(value).all())
