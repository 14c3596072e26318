"""Objects as plain values, everything that decides what an object does; and keys made of them."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import inspect
import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchreid_adv.core.provenance import without

# code of these packages is identified by their versions
KNOWN_CODE = ("torchreid_adv", "torch", "torchvision", "numpy", "builtins", "functools", "operator")
CACHES = "caches"  # class attribute: names of attributes that hold only cached work
_BASE = frozenset({*vars(nn.Module()), "training"})  # attributes that every module has
_OWN = f"{__name__.partition('.')[0]}."
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
FORMAT = 1  # version of stored results; other versions are ignored
_SHOWN = 3  # facts shown in an error
_LONG = 48  # characters of a value in an error


def facts_of(value: Any) -> Any:
    """Return what decides how an object behaves, as plain values for JSON.

    An object with a method ``key_facts()`` describes itself. Of any other object every attribute
    counts, including private ones, so that a new attribute cannot be forgotten. Attributes that
    only cache work are listed in the class attribute ``caches``. Tensors, arrays and bytes count
    by their SHA-256; functions and classes by their name and, unless their package's version is
    recorded, by their source.
    """
    return _facts(value, ())


@dataclass(frozen=True)
class Key:
    """Everything that decides a result, as plain values of the objects involved.

    Args:
        facts: name -> plain value; see :meth:`of`.
    """

    facts: Mapping[str, Any]

    @classmethod
    def of(cls, **objects: Any) -> Key:
        """Return the key of some objects, each described by :func:`facts_of`."""
        return cls(as_json({"format": FORMAT, **{k: facts_of(v) for k, v in objects.items()}}))

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the facts, hex."""
        return hashlib.sha256(_text(self.facts).encode()).hexdigest()

    def record(self, **further: Any) -> str:
        """Return the facts, and further plain values, as readable JSON."""
        return json.dumps({**self.facts, **further}, indent=1, sort_keys=True) + "\n"

    def difference(self, stored: Any) -> str:
        """Say which facts differ from stored ones, the first few with both values; "" for none."""
        if not isinstance(stored, dict) or not stored:
            return "it cannot be read"
        stored = without(stored)
        if _text(stored) == _text(self.facts):
            return ""
        if stored.get("format") != FORMAT:
            return "an earlier version wrote it, which did not record all that decides a result"
        old, new = dict(_leaves(stored)), dict(_leaves(self.facts))
        names = [name for name in sorted({*old, *new}) if _shown(name, old) != _shown(name, new)]
        differences = [
            f"{n} {_cut(_shown(n, old))} there, {_cut(_shown(n, new))} here" for n in names[:_SHOWN]
        ]
        more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return "; ".join(differences) + more


def tensors_digest(module: nn.Module) -> str:
    """Return the SHA-256 of all weights and buffers of a module, also of unsaved buffers."""
    digest = hashlib.sha256()
    tensors = dict(module.named_buffers(remove_duplicate=False))
    tensors.update(module.named_parameters(remove_duplicate=False))
    for name, value in sorted({**tensors, **module.state_dict()}.items()):
        digest.update(f"{name}\0".encode())
        digest.update(_tensor_bytes(value) if isinstance(value, Tensor) else _saved(value))
    return digest.hexdigest()


def code_of(thing: Any) -> str:
    """Return the name of a function or class, with a hash of its source if it has no version."""
    module = str(thing.__module__)
    if isinstance(thing, type) and module.startswith(
        _OWN
    ):  # which file of its room decides nothing
        module = ".".join(module.split(".")[:2])
    name = f"{module}.{thing.__qualname__}"
    if module.partition(".")[0] in KNOWN_CODE:
        return name
    return f"{name} {_source(thing)}".rstrip()


@functools.lru_cache(maxsize=4096)
def _source(thing: Any) -> str:
    try:
        return hashlib.sha256(inspect.getsource(thing).encode()).hexdigest()[:16]
    except (OSError, TypeError):  # no file: typed at a prompt
        return ""


def _facts(value: Any, inside: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else repr(float(value))
    if isinstance(value, np.integer):
        return int(value)
    if id(value) in inside:  # a circle
        return type(value).__qualname__
    inside = (*inside, id(value))
    for kinds, describe in _KINDS:
        if isinstance(value, kinds):
            return describe(value, inside)
    return _object(value, inside)


def _object(value: Any, inside: tuple[int, ...]) -> Any:
    if _speaks(value):
        return _told(value, inside)
    names = _attributes(value)
    return {"class": code_of(type(value)), **{k: _facts(v, inside) for k, v in names.items()}}


def _speaks(value: Any) -> bool:
    """Tell whether an object describes itself by ``key_facts()``."""
    return callable(getattr(type(value), "key_facts", None))


def _told(value: Any, inside: tuple[int, ...]) -> Any:
    return {"class": code_of(type(value)), "facts": _facts(value.key_facts(), inside)}


def _attributes(value: Any) -> dict[str, Any]:
    """Return the attributes that decide, by name."""
    kind = type(value)
    slots = [s for c in kind.__mro__ for s in getattr(c, "__slots__", ()) if hasattr(value, s)]
    attributes = {name: getattr(value, name) for name in slots if name != "__weakref__"}
    attributes |= getattr(value, "__dict__", {})
    if dataclasses.is_dataclass(kind):
        attributes |= {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
    saved = {name for c in kind.__mro__ for name in vars(c).get(CACHES, ())}
    lazy = {
        name
        for name in attributes
        if isinstance(getattr(kind, name, None), functools.cached_property)
    }
    return {name: attributes[name] for name in sorted(attributes.keys() - saved - lazy)}


def _module(module: nn.Module, inside: tuple[int, ...]) -> Any:
    """Return a module's attributes, with hashes of its weights and of its structure."""
    if _speaks(module):
        return _told(module, inside)
    facts, parts = _plain_facts(module, inside), _parts(module, inside)
    if parts:
        text = json.dumps(parts, sort_keys=True)
        facts["structure"] = hashlib.sha256(text.encode()).hexdigest()
    if any(True for _ in (*module.parameters(), *module.buffers())):
        facts["weights"] = tensors_digest(module)
    return facts


def _parts(module: nn.Module, inside: tuple[int, ...]) -> list[Any]:
    """Describe the modules inside a module; those with ``key_facts()`` describe themselves."""
    parts: list[Any] = []
    for name, child in module.named_children():
        if _speaks(child):
            parts.append([name, _told(child, inside)])
        elif id(child) not in inside:
            below = (*inside, id(child))
            parts.append([name, _plain_facts(child, below), _parts(child, below)])
    return parts


def _plain_facts(module: nn.Module, inside: tuple[int, ...]) -> dict[str, Any]:
    """Return a module's class, options and attributes, without weights and children."""
    facts: dict[str, Any] = {"class": code_of(type(module))}
    if isinstance(module, (torch.jit.ScriptModule, torch.fx.GraphModule)):
        return {**facts, "code": str(getattr(module, "code", ""))}
    options = _ADDRESS.sub("", module.extra_repr())
    facts |= {"options": options} if options else {}
    names = _attributes(module)
    return facts | {k: _facts(v, inside) for k, v in names.items() if k not in _BASE}


def _mapping(value: Mapping[Any, Any], inside: tuple[int, ...]) -> Any:
    return {str(key): _facts(item, inside) for key, item in value.items()}


def _sequence(value: Any, inside: tuple[int, ...]) -> Any:
    return [_facts(item, inside) for item in value]


def _set(value: Any, inside: tuple[int, ...]) -> Any:
    return sorted((_facts(item, inside) for item in value), key=json.dumps)


def _partial(value: functools.partial[Any], inside: tuple[int, ...]) -> Any:
    parts = {"function": value.func, "arguments": value.args, "keywords": value.keywords}
    return _mapping(parts, inside)


def _function(value: FunctionType, inside: tuple[int, ...]) -> Any:
    closed = [cell.cell_contents for cell in value.__closure__ or ()]
    bound = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *closed]
    return (
        {"function": code_of(value), "values": _sequence(bound, inside)}
        if bound
        else code_of(value)
    )


def _method(value: MethodType, inside: tuple[int, ...]) -> Any:
    return {"method": value.__qualname__, "of": _facts(value.__self__, inside)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _tensor_bytes(value: Tensor) -> bytes:
    kind = f"{tuple(value.shape)}{value.dtype}".encode()
    plain = value.detach().cpu().contiguous().flatten()
    return kind + plain.view(torch.uint8).numpy().tobytes()


def _array_bytes(value: np.ndarray) -> bytes:
    return f"{value.shape}{value.dtype}".encode() + value.tobytes()


def _saved(value: Any) -> bytes:
    """Return the bytes of what a module stores besides tensors."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


_KINDS: tuple[tuple[Any, Any], ...] = (
    ((Mapping,), _mapping),
    ((list, tuple), _sequence),
    ((set, frozenset), _set),
    ((nn.Module,), _module),
    ((Tensor,), lambda value, _: _digest(_tensor_bytes(value))),
    ((np.ndarray,), lambda value, _: _digest(_array_bytes(value))),
    ((bytes, bytearray), lambda value, _: _digest(bytes(value))),
    ((PurePath,), lambda value, _: os.fspath(value)),
    ((torch.dtype, torch.device, complex), lambda value, _: str(value)),
    ((torch.Generator,), lambda value, _: _digest(_tensor_bytes(value.get_state()))),
    ((functools.partial,), _partial),
    ((FunctionType,), _function),
    ((MethodType,), _method),
    ((type,), lambda value, _: code_of(value)),
    ((BuiltinFunctionType, ModuleType), lambda value, _: value.__name__),
)


def _text(facts: Any) -> str:
    return json.dumps(facts, sort_keys=True)


def as_json(value: Any) -> Any:
    """Return values as JSON returns them."""
    return json.loads(json.dumps(value))


def _leaves(value: Any, name: str = "") -> Any:
    """Yield dotted names and values of nested facts."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else key)
    else:
        yield name, value


def _shown(name: str, facts: dict[str, Any]) -> str:
    if name not in facts:
        return "not set"
    return repr(facts[name])


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."
