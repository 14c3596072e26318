"""Weights inside pickled objects of any class, read without running any code of theirs.

Some projects save whole networks, or weights beside settings of their own classes. Every name in
such a file that is not a tensor's or a plain container's becomes an inert object here: it keeps the
state that the file gives it and does nothing. The tensors are then taken from where a module keeps
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
_DEEPEST = 64  # modules in each other


class Inert:
    """Stands for an object of any class: it keeps its state, and does nothing."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Take what the class would have been made with, and forget it."""

    def __setstate__(self, state: Any) -> None:
        """Keep a state that is a dictionary."""
        parts = state if isinstance(state, tuple) else (state,)
        kept = next((part for part in parts if isinstance(part, Mapping)), {})
        self.__dict__.update({str(name): value for name, value in kept.items()})

    def append(self, item: Any) -> None:
        """Forget an item of a list."""

    def extend(self, items: Any) -> None:
        """Forget items of a list."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Forget an item of a dictionary."""


class _Reader(Unpickler):
    """Builds tensors, containers, and inert objects for all the rest.

    Args:
        content: of the pickle.
        storage: bytes of a storage by its key.
    """

    def __init__(self, content: bytes, storage: Callable[[str], bytes]) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._storage = storage
        self._seen: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name; nothing is ever imported."""
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
        """Return a storage as a tensor of one dimension.

        Raises:
            ValueError: it is no storage of a known type.
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
    """Return a tensor of a storage, copied, so that it holds no more than it shows."""
    return storage.as_strided(tuple(size), tuple(stride), int(offset)).clone()


def _parameter(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


def read_inert(path: Path) -> dict[str, Any]:
    """Return the tensors in a file of ``torch.save``, whatever objects are around them.

    A module's are under their names; of a dictionary the entries that are tensors, dictionaries or
    modules.

    Args:
        path: of an archive, as PyTorch writes since 1.6, whose checksums were compared.

    Raises:
        ConfigError: a file that is no such archive, or that is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
            root = pickled.removesuffix("data.pkl")

            def storage(key: str) -> bytes:
                return archive.read(f"{root}data/{key}")

            content = _Reader(archive.read(pickled), storage).load()
    except Exception as error:  # a broken pickle raises what it likes
        reason = printable(" ".join(str(error).split())[:120]) or type(error).__name__
        raise ConfigError(
            f"'{path}' holds more than weights, and cannot be read ({reason})"
        ) from error
    found = _plain(content, 0)
    if not isinstance(found, dict):
        raise ConfigError(f"'{path}' holds no weights")
    return found


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
    own = {**_dictionary(state, "_parameters"), **_dictionary(state, "_buffers")}
    found = {
        str(name): value
        for name, value in own.items()
        if isinstance(value, Tensor) and name not in hidden
    }
    for name, part in _dictionary(state, "_modules").items():
        if isinstance(part, Inert) and depth < _DEEPEST:
            inside = _module(part, depth + 1)
            found |= {f"{name}.{inner}": value for inner, value in inside.items()}
    return found


def _dictionary(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = state.get(name)
    return found if isinstance(found, Mapping) else {}
