"""Weights in several safetensors files, with an index of which tensor is where."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torchreid_adv.errors import ConfigError, printable

INDEX = ".safetensors.index.json"


def index_of(path: Path) -> Path | None:
    """Return the index that a path is, or that is in a folder; None where there is none."""
    if path.name.endswith(INDEX) and path.is_file():
        return path
    found = sorted(path.glob(f"*{INDEX}")) if path.is_dir() else []
    return found[0] if len(found) == 1 else None


def read_shards(index: Path, read: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Return all tensors that an index names.

    Args:
        index: ``model.safetensors.index.json``, as accelerate and transformers write it.
        read: reads one of the files.

    Raises:
        ConfigError: an index that cannot be read, that names a file elsewhere, or a tensor that is
            not in its file.
    """
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        places = {str(name): str(file) for name, file in content["weight_map"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"'{index}' is no index of weights: {printable(str(error))[:120]}"
        ) from error
    away = [file for file in places.values() if Path(file).name != file or file in ("", "..", ".")]
    if away:
        raise ConfigError(
            f"'{index}' names the file '{printable(away[0])[:80]}', which is not beside it"
        )
    shards = {file: read(index.parent / file) for file in sorted(set(places.values()))}
    lost = [name for name, file in places.items() if name not in shards[file]]
    if lost:
        raise ConfigError(f"'{index}' names '{printable(lost[0])[:80]}', and its file has none")
    return {name: shards[file][name] for name, file in places.items()}
