"""Safetensors files with a JSON header that describes their content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from torchreid_adv.core.files import write_bytes
from torchreid_adv.core.manifest import sha256
from torchreid_adv.errors import ConfigError


@dataclass(frozen=True)
class TensorFile:
    """The content of a file.

    Args:
        tensors: by name.
        about: the header.
        sha256: SHA-256 of the file.
    """

    tensors: dict[str, Tensor]
    about: dict[str, Any]
    sha256: str


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any], *, kind: str
) -> None:
    """Write a safetensors file, whole or not at all; the same content gives the same bytes.

    Args:
        path: path of the file.
        tensors: by name.
        about: the header.
        kind: the kind of content; names the header.
    """
    parts = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(parts, {kind: json.dumps(dict(about), sort_keys=True)}))


def read_tensors(path: str | Path, *, kind: str, description: str) -> TensorFile:
    """Read a file that :func:`write_tensors` wrote.

    Args:
        path: an existing file.
        kind: the header's name.
        description: the content, as an error names it ("a universal perturbation").

    Raises:
        ConfigError: the file holds something else.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[kind])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not isinstance(about, dict):
            raise TypeError("its header is not a table")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise unreadable(path, description, error) from error
    return TensorFile(tensors, about, sha256(path.read_bytes()))


def settings_in(path: Path) -> dict[str, Any]:
    """Return the header of a file of any kind, with the shapes of its tensors; {} if unreadable.

    Args:
        path: a file that :func:`write_tensors` wrote.
    """
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            (about,) = (json.loads(text) for text in (file.metadata() or {}).values())
    except (OSError, SafetensorError, ValueError):
        return {}
    return {**about, "tensors": shapes}


def holds(path: str | Path, kind: str) -> bool:
    """Tell whether :func:`write_tensors` wrote a file, with content of this kind."""
    try:
        with safe_open(Path(path), framework="pt") as file:
            return kind in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def unreadable(path: Path, description: str, error: Exception) -> ConfigError:
    """Return the error for a file that cannot be read as described."""
    reason = " ".join(str(error).split())[:200]
    return ConfigError(f"'{path}' cannot be read as {description}: {reason}")
