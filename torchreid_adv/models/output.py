"""The outputs of a network, and which of them are the features."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from torchreid_adv.core.faults import out_of_memory
from torchreid_adv.errors import AdvError, ConfigError, printable

Output = str | int | None
LOG = logging.getLogger("torchreid_adv")
_DEEPEST = 3  # largest depth of nested dictionaries, lists and objects


class NetworkError(ConfigError):
    """The network fails on the given images."""


def asked(network: nn.Module, images: Tensor, *further: Any) -> Any:
    """Return the outputs of a network, called in its own precision.

    Args:
        network: the network to call.
        images: normalized, (N, [T,] 3, H, W).
        further: further arguments of the network.

    Returns:
        its outputs; floats are in the precision of the images.

    Raises:
        NetworkError: the network fails; out-of-memory errors are raised unchanged.
    """
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), images.dtype)
    try:
        answer = network(images.to(dtype), *further)
    except AdvError:
        raise
    except Exception as error:  # a network may raise anything
        if out_of_memory(error):
            raise
        reason = printable(" ".join(str(error).split())[:200]) or type(error).__name__
        raise NetworkError(
            f"the network fails on normalized images {tuple(images.shape)}: {reason}; does it take "
            "images of three channels, this size, and nothing else?"
        ) from error
    return in_format(answer, images.dtype)


def in_format(answer: Any, dtype: torch.dtype) -> Any:
    """Return outputs, in any nesting of containers, with floats in a dtype."""
    if isinstance(answer, Tensor):
        return answer.to(dtype) if answer.is_floating_point() else answer
    return tree_map_only(Tensor, lambda part: in_format(part, dtype), answer)


def features_in(answer: Any, output: Output, count: int, *, parts: bool = False) -> Tensor:
    """Return the features (N, D) among a network's outputs.

    Trailing dimensions of 1 are dropped. Without ``output`` the only tensor that can be the
    features is used, at any depth; the log names it.

    Args:
        answer: a tensor, or several in a list, tuple, dict or object.
        output: index, key or path of the features if there are several outputs, such as ``feat`` or
            ``last_hidden_state.0``; a number after a tensor (N, T, D) selects one of its T rows.
        count: N.
        parts: expect features of P parts (N, D, P).

    Raises:
        ConfigError: there is no such tensor, or there are several and none is selected.
    """
    features = _squeezed(_selected(answer, output, count, 3 if parts else 2))
    dims = 3 if parts else 2
    if features.ndim != dims or len(features) != count or not features.is_floating_point():
        expected = f"features are floats ({count}, D), one row for each image"
        if parts:
            expected = f"parts=unit is for floats ({count}, D, P) of P parts"
        raise ConfigError(
            f"the network gives {_described(features)}, and {expected}{_advice(features)}"
        )
    return features


def joined_parts(features: Tensor) -> Tensor:
    """Return features of P parts (N, D, P), each normalized, concatenated as (N, D * P)."""
    return nn.functional.normalize(features, dim=1).flatten(1)


def _squeezed(features: Tensor) -> Tensor:
    """Return a tensor without dimensions of 1 after its second one."""
    while features.ndim > 2 and features.shape[-1] == 1:
        features = features.squeeze(-1)
    return features


def _selected(answer: Any, output: Output, count: int, dims: int) -> Tensor:
    if output is None:
        return answer if isinstance(answer, Tensor) else _only(answer, count, dims)
    if isinstance(answer, Tensor):
        raise ConfigError(
            f"output={output!r} chooses one of several results, and the network gives one tensor "
            f"{tuple(answer.shape)}; leave output out"
        )
    selected = _at(answer, output)
    if selected is None:
        raise ConfigError(
            f"output={output!r} is not in what the network gives, {_described(answer)}; "
            f"{_how(answer)}"
        )
    if not isinstance(selected, Tensor):
        raise ConfigError(
            f"output={output!r} is {_described(selected)}, and features are one tensor"
        )
    return selected


def _at(answer: Any, output: str | int) -> Any:
    """Return the value at an index, a key, or a dotted path; None if there is none."""
    whole = _step(answer, output)
    if whole is not None or not isinstance(output, str):
        return whole
    value = answer
    for part in output.split("."):
        value = _step(value, int(part) if part.lstrip("-").isdigit() else part)
        if value is None:
            return None
    return value


def _step(value: Any, part: str | int) -> Any:
    try:
        if isinstance(value, Tensor):
            return value[:, part] if isinstance(part, int) and value.ndim > 2 else None
        if isinstance(value, Mapping) or (isinstance(part, int) and hasattr(value, "__getitem__")):
            return value[part]
    except (LookupError, TypeError):
        return None
    return _fields(value).get(str(part))


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of an object, by name."""
    if isinstance(value, Mapping):
        return {str(key): part for key, part in value.items()}
    if hasattr(value, "_fields"):  # a named tuple
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, (list, tuple)):
        return {str(number): part for number, part in enumerate(value)}
    return {k: v for k, v in getattr(value, "__dict__", {}).items() if not k.startswith("_")}


def _leaves(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors among outputs with their paths."""
    if isinstance(value, Tensor):
        yield path, value
    elif depth < _DEEPEST:
        for name, part in _fields(value).items():
            yield from _leaves(part, f"{path}.{name}".lstrip("."), depth + 1)


def _only(answer: Any, count: int, dims: int) -> Tensor:
    """Return the only tensor that can be the features.

    Raises:
        ConfigError: there are several such tensors, or none.
    """
    could_be = {
        path: value
        for path, value in _leaves(answer)
        if value.is_floating_point() and len(value.shape) and len(value) == count
        if _squeezed(value).ndim == dims
    }
    if len(could_be) == 1:
        path, value = next(iter(could_be.items()))
        LOG.info("the features are '%s' of what the network gives", path)
        return value
    listed = ", ".join(
        f"{path} {tuple(value.shape)} of length {_length(value):.3g}"
        for path, value in list(could_be.items())[:6]
    )
    listed = f"; these could be the features: {printable(listed)}" if could_be else ""
    raise ConfigError(f"the network gives {_described(answer)}{listed}; {_how(answer)}")


def _length(features: Tensor) -> float:
    return float(features.detach().float().norm(dim=1).mean())


def _how(answer: Any) -> str:
    fields = _fields(answer)
    if not fields:
        return "return the features (N, D) that are ranked from its forward"
    first = next(iter(fields))
    example = first if isinstance(answer, (list, tuple)) and first.isdigit() else repr(first)
    return (
        f"features are one tensor (N, D): choose it, for example with output={example} in "
        f"PixelModel or load_model, or @take={first} in an entry"
    )


def _advice(features: Tensor) -> str:
    if features.ndim == 3:
        return "; features of several parts (N, D, P) take parts='unit', or @parts=unit in an entry"
    return ""


def _described(value: Any, depth: int = 0) -> str:
    """Describe outputs, with the shapes of their tensors."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    kind = type(value).__name__
    if depth:
        return kind
    if isinstance(value, Mapping):
        parts = [f"{key!r}: {_described(part, 1)}" for key, part in list(value.items())[:6]]
        return printable(f"a {kind} of {{{', '.join(parts)}}}")
    if isinstance(value, (list, tuple)):
        return printable(f"a {kind} of [{', '.join(_described(part, 1) for part in value[:6])}]")
    if _fields(value):
        names = ", ".join(f"{n}: {_described(part, 1)}" for n, part in _fields(value).items())
        return printable(f"a {kind} of {names[:200]}")
    return f"a {kind}"
