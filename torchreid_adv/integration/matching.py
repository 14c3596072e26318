"""The tensors of a checkpoint that belong to a network, and how they fit it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torchreid_adv.errors import ConfigError, printable
from torchreid_adv.integration.heads import counters, unused_by_features
from torchreid_adv.integration.weight_names import DEEPEST, WeightNames, is_state, spelled

LONGEST = 1024  # letters of a name
SHOWN = 8  # names listed in an error
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def weights_in(
    checkpoint: Mapping[str, Any], path: str | Path, *, key: str | None = None
) -> dict[str, Tensor]:
    """Return all tensors of a checkpoint, at any depth, under their full names.

    A name consists of the keys of the surrounding dictionaries, each followed by ``/``, and the
    tensor's key: ``state_dict/module.conv1.weight``. :func:`match_weights`, which knows the
    network, decides which of them belong to it.

    Args:
        checkpoint: the content of the file.
        path: path of the file, for messages.
        key: use only tensors under this name, for example ``ema`` or ``state_dict/teacher``.

    Raises:
        ConfigError: there are no tensors, or a name is too long for a network.
    """
    tensors = _tensors(checkpoint, path)
    if key is not None:
        start = key.rstrip("./")
        selected = {n: v for n, v in tensors.items() if n.startswith((f"{start}/", f"{start}."))}
        if not selected:
            raise ConfigError(
                f"'{path}' has no weights under '{key}', only under: {_roots(tensors)}"
            )
        return selected
    if not tensors:
        keys = ", ".join(str(name) for name in list(checkpoint)[:SHOWN]) or "nothing"
        raise ConfigError(
            f"the checkpoint '{path}' holds no weights, only: {printable(keys[:200])}"
        )
    return tensors


def _tensors(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()  # a dictionary with two names is visited once
    level: list[tuple[str, Mapping[Any, Any], int]] = [("", checkpoint, 1)]
    for start, mapping, depth in level:  # grows in the loop
        for name, value in mapping.items():
            if not isinstance(name, str) or not isinstance(value, (Tensor, Mapping)):
                continue
            full = f"{start}{name}"
            if len(full) > LONGEST:
                raise ConfigError(
                    f"'{path}' is not a checkpoint: the name '{printable(name[:40])}...' in it has "
                    f"{len(full)} letters; names of weights have up to {LONGEST}"
                )
            if isinstance(value, Tensor) and not is_state(full):
                tensors[full] = value
            elif isinstance(value, Tensor):
                continue
            elif id(value) not in seen and depth < DEEPEST:
                seen.add(id(value))
                level.append((f"{full}/", value, depth + 1))
    return tensors


def _roots(tensors: Mapping[str, Tensor]) -> str:
    roots = dict.fromkeys(re.split(r"[/.]", name, maxsplit=1)[0] for name in tensors)
    return printable(", ".join(list(roots)[:SHOWN])) or "nothing"


@dataclass(frozen=True)
class Match:
    """How the tensors of a checkpoint fit a network; names are those of the network.

    Args:
        loaded: tensors that fit.
        missing: tensors of the network that the checkpoint does not have.
        mismatched: name -> (shape in the network, shape in the checkpoint).
        unexpected: further tensors of the checkpoint that the network does not have.
        doubtful: name -> why the tensor in the checkpoint cannot be used.
        heads: tensors that the network's features do not depend on, and that may therefore differ.
        untried: why the heads are unknown, "" if they are known or do not matter.
        layers: those of ``unexpected`` that are not a classifier.
        rounded: those of ``loaded`` whose values the network's dtype cannot hold exactly.
        names: names of all tensors of the checkpoint, examples for errors.
    """

    loaded: dict[str, Tensor]
    missing: tuple[str, ...]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    unexpected: tuple[str, ...]
    doubtful: dict[str, str] = field(default_factory=dict)
    heads: frozenset[str] = frozenset()
    untried: str = ""
    layers: tuple[str, ...] = ()
    rounded: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def faults(self) -> list[str]:
        """Return the faults of the part that features depend on, one line each."""
        shapes = {
            name: f"is {file_shape} in the file, {model_shape} in the model"
            for name, (model_shape, file_shape) in self.mismatched.items()
        }
        absent = dict.fromkeys(self.missing, "is not in the file")
        wrong = {**shapes, **absent, **self.doubtful}
        return [f"{name} {why}" for name, why in wrong.items() if name not in self.heads]

    @property
    def backbone(self) -> int:
        """The number of loaded tensors that features depend on."""
        return sum(name not in self.heads for name in self.loaded)


def match_weights(
    model: nn.Module, state: Mapping[str, Tensor], path: str | Path = "the file"
) -> Match:
    """Compare the tensors of a checkpoint with a network, changing neither.

    Names are compared without the parts that DataParallel and torch.compile add, and after the
    prefix under which the checkpoint has most of the network's names. If something is missing or
    does not fit, the network is run once to see which tensors its features depend on.

    Args:
        model: the network, bare or in DataParallel.
        state: what :func:`weights_in` returned.
        path: path of the file, for messages.

    Raises:
        ConfigError: the checkpoint holds the network twice, with different values; or tensors are
            sparse, quantized or without values.
    """
    model = unwrap(model)
    expected = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
    named, others, doubtful = _by_network_names(state, expected, path)
    shapes = {k: (tuple(v.shape), tuple(named[k].shape)) for k, v in expected.items() if k in named}
    mismatched = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
    for name in shapes.keys() - mismatched.keys():
        if named[name].is_floating_point() != expected[name].is_floating_point():
            doubtful[name] = (
                f"holds {named[name].dtype} in the file, {expected[name].dtype} in the model"
            )
    missing = tuple(name for name in expected if name not in named)
    heads, untried = _heads(model, mismatched, {*missing, *doubtful})
    fitting = [name for name in shapes if name not in mismatched and name not in doubtful]
    rounded = tuple(name for name in fitting if _rounds(named[name], expected[name].dtype))
    return Match(
        loaded={name: named[name].to(expected[name].dtype) for name in fitting},
        missing=missing,
        mismatched=mismatched,
        unexpected=tuple(others),
        doubtful=doubtful,
        heads=heads,
        untried=untried,
        layers=tuple(_beyond_classifiers(others)),
        rounded=rounded,
        names=tuple(spelled(name.rpartition("/")[2]) for name in state),
    )


def identities(model: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> int:
    """Return a checkpoint's number of rows where a one-identity network has one; 1 if unknown.

    Args:
        model: built for one identity.
        state: what :func:`weights_in` returned.
        path: path of the file, for messages.

    Raises:
        ConfigError: as in :func:`match_weights`.
    """
    expected = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
    named, _, _ = _by_network_names(state, expected, path)
    rows = {
        len(value)
        for name, value in named.items()
        if expected[name].ndim
        and len(expected[name]) == 1
        and value.shape[1:] == expected[name].shape[1:]
    }
    return max(rows, default=1)


def _heads(
    model: nn.Module,
    mismatched: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
    absent: set[str],
) -> tuple[frozenset[str], str]:
    """Return the tensors that features do not need: batch counters, and layers of identities.

    A layer of identities is one that no feature depends on, and that is missing and linear, or
    differs only in its number of rows: another number of columns is another size of features.
    """
    needless = counters(model)
    if not (mismatched.keys() | absent) - needless:
        return needless, ""
    unused, reason = unused_by_features(model)
    linear = {
        f"{name}.{part}".lstrip(".")
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        for part, _ in module.named_parameters(recurse=False)
    }
    rows = {
        name
        for name, (model_shape, file_shape) in mismatched.items()
        if model_shape and model_shape[1:] == file_shape[1:]
    }
    return needless | (unused & ((linear - mismatched.keys()) | rows)), reason


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside DataParallel or DistributedDataParallel."""
    while isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        model = model.module
    return model


def _by_network_names(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: str | Path
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, str]]:
    """Return the tensors by the network's names, other tensors near them, and faulty names."""
    rows = WeightNames(state, expected)
    prefix = rows.prefix()
    named: dict[str, Tensor] = {}
    doubtful: dict[str, str] = {}
    for raw, name in rows.below(prefix):
        if name in named and not _same(named[name], state[raw], expected[name]):
            doubtful[name] = "is in the file twice, with different values under different prefixes"
        named[name] = state[raw]
    _check_plain(named, expected, path)
    for other in rows.rivals(prefix):
        pairs = [(raw, name) for raw, name in rows.below(other)]
        if not all(
            name in named and _same(named[name], state[raw], expected[name]) for raw, name in pairs
        ):
            raise ConfigError(_two(path, rows.raw(prefix), rows.raw(other)))
    for name, other in rows.elsewhere(named).items():
        doubtful[name] = f"is in the file under '{other}', not where the rest of the network is"
    around = {raw.rpartition("/")[0] for raw, _ in rows.below(prefix)}
    taken = {raw for raw, _ in rows.below(prefix)}
    beside = {r: state[r] for r in state if r not in taken and r.rpartition("/")[0] in around}
    return named, beside, doubtful


def _two(path: str | Path, prefix: str, other: str) -> str:
    named = [f"under '{name}'" if name else "without a prefix" for name in (prefix, other)]
    key = prefix or other
    inner = "".join(f"[{part!r}]" for part in key.split("/"))
    return printable(
        f"'{path}' holds the network twice, with different values: {named[0]} and {named[1]}; "
        f"choose one: load_model(..., key='{key}') in Python, or save it alone with "
        f"torch.save(torch.load(path){inner}, 'chosen.pth')"
    )


def _check_plain(
    named: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: str | Path
) -> None:
    odd = [name for name, value in named.items() if not _is_plain(value)]
    if odd:
        raise ConfigError(
            f"the weights in '{path}' are sparse, nested, quantized, complex, in 8-bit floats or "
            f"without values ({', '.join(odd[:SHOWN])}); save plain tensors"
        )
    for name, value in named.items():
        if value.shape != expected[name].shape and _claims(value):
            raise ConfigError(
                f"'{path}' is not a checkpoint of this model: {name} claims {tuple(value.shape)} "
                f"values, and the file holds {value.untyped_storage().nbytes()} bytes of them"
            )


def _rounds(value: Tensor, dtype: torch.dtype) -> bool:
    """Tell whether floating-point values change when stored in another dtype."""
    if not value.is_floating_point() or value.dtype == dtype:
        return False
    finite = value.isfinite()
    return not torch.equal(value.to(dtype).to(value.dtype)[finite], value[finite])


def _is_plain(value: Tensor) -> bool:
    odd = value.is_nested or value.is_quantized or value.is_meta or value.is_complex()
    odd |= value.is_floating_point() and value.dtype not in FLOATS
    return value.layout == torch.strided and not odd


def _same(value: Tensor, other: Tensor, like: Tensor) -> bool:
    """Tell whether two tensors are equal; False if one claims more values than it holds."""
    if value.shape != other.shape or value.dtype != other.dtype:
        return False
    if not (_is_plain(value) and _is_plain(other)):
        return False
    small = value.shape == like.shape or not (_claims(value) or _claims(other))
    return small and torch.equal(value, other)


def _claims(value: Tensor) -> bool:
    """Tell whether a tensor has more values than the file, as with strides of 0."""
    return value.numel() * value.element_size() > value.untyped_storage().nbytes()


def _beyond_classifiers(others: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield tensors that do not belong to a single linear layer, as a classifier does.

    A linear layer before another one is not a classifier. Counters of one integer are not layers.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for name, value in others.items():
        layer, _, part = name.rpartition(".")
        layers.setdefault(layer, {})[part] = value
    linear = {name: parts["weight"] for name, parts in layers.items() if _is_linear(parts)}
    entries = {weight.shape[1] for weight in linear.values()}
    heads = {name for name, weight in linear.items() if weight.shape[0] not in entries}
    for name, parts in layers.items():
        for part, value in parts.items():
            counter = value.ndim == 0 and not value.is_floating_point()
            if name not in heads and not counter:
                yield f"{name}.{part}".lstrip(".")


def _is_linear(parts: Mapping[str, Tensor]) -> bool:
    weight, bias = parts.get("weight"), parts.get("bias")
    if weight is None or weight.ndim != 2 or not parts.keys() <= {"weight", "bias"}:
        return False
    return bias is None or bias.shape == weight.shape[:1]
