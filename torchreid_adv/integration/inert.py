"""Weights inside pickled objects of any class, read without running their code.

Some projects save whole networks, or weights next to settings in objects of a custom class. Each
name in such a file that is not a tensor or a plain container becomes an inert object here: it keeps
the state from the file and does nothing. The tensors are then read from where a module stores
them.
"""

from __future__ import annotations

import collections
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import Unpickler
from typing import Any

import torch
from torch import Tensor

from torchreid_adv.errors import ConfigError, printable

_TYPES: dict[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_DEEPEST = 64  # largest depth of nested modules


class Inert:
    """Stands for an object of any class: it keeps its state and does nothing."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Accept and ignore the arguments of the class."""

    def __setstate__(self, state: Any) -> None:
        """Keep a state that is a dictionary."""
        parts = state if isinstance(state, tuple) else (state,)
        attributes = next((part for part in parts if isinstance(part, Mapping)), {})
        self.__dict__.update({str(name): value for name, value in attributes.items()})

    def append(self, item: Any) -> None:
        """Ignore an item of a list."""

    def extend(self, items: Any) -> None:
        """Ignore items of a list."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore an item of a dictionary."""


class _Reader(Unpickler):
    """Builds tensors, containers, and inert objects for everything else.

    Args:
        content: the pickle.
        storage: storage key -> its bytes.
    """

    def __init__(self, content: bytes, storage: Callable[[str], bytes]) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._storage = storage
        self._seen: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return a replacement for a name; nothing is ever imported."""
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return _tensor
        if module == "torch._utils" and name.startswith("_rebuild_parameter"):
            return _parameter
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module in ("builtins", "__builtin__") and name in ("set", "frozenset"):
            return set
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        return Inert

    def persistent_load(self, pid: Any) -> Tensor:
        """Return a storage as a tensor with one dimension.

        Raises:
            ValueError: it is not a storage of a known type.
        """
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise ValueError("a storage of another kind")
        if key not in self._seen:
            content = bytearray(self._storage(str(key)))
            if len(content) < int(count) * dtype.itemsize:
                raise ValueError("a storage that is shorter than it says")
            empty = torch.empty(0, dtype=dtype)
            self._seen[key] = torch.frombuffer(content, dtype=dtype) if content else empty
        return self._seen[key]


def _tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    """Return a tensor of a storage, copied so that it holds no more than it shows."""
    return storage.as_strided(tuple(size), tuple(stride), int(offset)).clone()


def _parameter(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


def read_inert(path: Path) -> dict[str, Any]:
    """Return the tensors in a file of ``torch.save``, whatever objects surround them.

    Tensors of a module have the names of its state dict; of a dictionary, entries that are tensors,
    dictionaries or modules are used.

    Args:
        path: an archive as PyTorch writes since 1.6, with verified checksums.

    Raises:
        ConfigError: the file is not such an archive, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
            root = pickled.removesuffix("data.pkl")

            def storage(key: str) -> bytes:
                return archive.read(f"{root}data/{key}")

            content = _Reader(archive.read(pickled), storage).load()
    except Exception as error:  # a broken pickle may raise anything
        reason = printable(" ".join(str(error).split())[:120]) or type(error).__name__
        raise ConfigError(
            f"'{path}' holds more than weights, and cannot be read ({reason})"
        ) from error
    tensors = _plain(content, 0)
    if not isinstance(tensors, dict):
        raise ConfigError(f"'{path}' holds no weights")
    return tensors


def _plain(value: Any, depth: int) -> Any:
    """Return a value with modules as dictionaries of their tensors; None for other objects."""
    if depth > _DEEPEST or isinstance(value, Tensor):
        return value if depth <= _DEEPEST else None
    if isinstance(value, Inert):
        return _module(value, depth) if "_modules" in vars(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(part, depth + 1) for name, part in value.items()}
    return value if isinstance(value, (str, int, float, bool)) else None


def _module(module: Inert, depth: int) -> dict[str, Tensor]:
    """Return the tensors that a module's state dict would have."""
    state = vars(module)
    hidden = state.get("_non_persistent_buffers_set")
    hidden = hidden if isinstance(hidden, set) else set()
    entries = {**_dictionary(state, "_parameters"), **_dictionary(state, "_buffers")}
    tensors = {
        str(name): value
        for name, value in entries.items()
        if isinstance(value, Tensor) and name not in hidden
    }
    for name, part in _dictionary(state, "_modules").items():
        if isinstance(part, Inert) and depth < _DEEPEST:
            inside = _module(part, depth + 1)
            tensors |= {f"{name}.{inner}": value for inner, value in inside.items()}
    return tensors


def _dictionary(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    entry = state.get(name)
    return entry if isinstance(entry, Mapping) else {}
