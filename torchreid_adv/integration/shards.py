"""Weights in several safetensors files, with an index of their tensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torchreid_adv.errors import ConfigError, printable

INDEX = ".safetensors.index.json"


def index_of(path: Path) -> Path | None:
    """Return the index at a path or in a folder; None if there is none."""
    if path.name.endswith(INDEX) and path.is_file():
        return path
    indexes = sorted(path.glob(f"*{INDEX}")) if path.is_dir() else []
    return indexes[0] if len(indexes) == 1 else None


def read_shards(index: Path, read: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Return all tensors listed in an index.

    Args:
        index: ``model.safetensors.index.json``, as written by accelerate and transformers.
        read: reads one file.

    Raises:
        ConfigError: the index cannot be read, or lists a file outside its folder, or a tensor that
            its file does not have.
    """
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        places = {str(name): str(file) for name, file in content["weight_map"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"'{index}' is not an index of weights: {printable(str(error))[:120]}"
        ) from error
    away = [file for file in places.values() if Path(file).name != file or file in ("", "..", ".")]
    if away:
        raise ConfigError(
            f"'{index}' names the file '{printable(away[0])[:80]}', which is not in the same folder"
        )
    shards = {file: read(index.parent / file) for file in sorted(set(places.values()))}
    lost = [name for name, file in places.items() if name not in shards[file]]
    if lost:
        raise ConfigError(f"'{index}' names '{printable(lost[0])[:80]}', and its file has none")
    return {name: shards[file][name] for name, file in places.items()}
