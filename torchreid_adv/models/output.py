"""What a network answers, and which part of it are the features."""

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
_DEEPEST = 3  # dictionaries, lists and objects in each other


class NetworkError(ConfigError):
    """A network that fails on the images that it was given."""


def asked(network: nn.Module, images: Tensor, *further: Any) -> Any:
    """Return what a network answers, asked in its own precision.

    Args:
        network: called with the images and what follows them.
        images: normalized, (N, [T,] 3, H, W).
        further: handed on.

    Returns:
        its answer; floats are in the precision of the images again.

    Raises:
        NetworkError: it cannot take them. That memory ran out is raised as it is.
    """
    own = next((p.dtype for p in network.parameters() if p.is_floating_point()), images.dtype)
    try:
        answer = network(images.to(own), *further)
    except AdvError:
        raise
    except Exception as error:  # whatever a network raises
        if out_of_memory(error):
            raise
        reason = printable(" ".join(str(error).split())[:200]) or type(error).__name__
        raise NetworkError(
            f"the network fails on normalized images {tuple(images.shape)}: {reason}; does it take "
            "images of three channels, this size, and nothing else?"
        ) from error
    return in_format(answer, images.dtype)


def in_format(answer: Any, dtype: torch.dtype) -> Any:
    """Return an answer, however its tensors are put together, with its floats in a format."""
    if isinstance(answer, Tensor):
        return answer.to(dtype) if answer.is_floating_point() else answer
    return tree_map_only(Tensor, lambda part: in_format(part, dtype), answer)


def features_in(answer: Any, output: Output, count: int, *, parts: bool = False) -> Tensor:
    """Return the features (N, D) in what a network answered.

    Trailing dimensions of 1 are dropped. Without ``output`` the one tensor that can be the
    features is taken, however deep it lies; the log says which.

    Args:
        answer: a tensor, or several in a list, tuple, dict or object.
        output: index, key or path of the features where there are several, such as ``feat`` or
            ``last_hidden_state.0``; a number behind a tensor (N, T, D) chooses one of its T rows.
        count: N.
        parts: features of P parts (N, D, P) are expected.

    Raises:
        ConfigError: there is no such tensor, or several, and none is chosen.
    """
    found = _squeezed(_chosen(answer, output, count, 3 if parts else 2))
    dims = 3 if parts else 2
    if found.ndim != dims or len(found) != count or not found.is_floating_point():
        wanted = f"features are floats ({count}, D), one row for each image"
        if parts:
            wanted = f"parts=unit is for floats ({count}, D, P) of P parts"
        raise ConfigError(f"the network gives {_described(found)}, and {wanted}{_advice(found)}")
    return found


def joined_parts(features: Tensor) -> Tensor:
    """Return features of P parts (N, D, P), each made a unit vector, side by side (N, D * P)."""
    return nn.functional.normalize(features, dim=1).flatten(1)


def _squeezed(found: Tensor) -> Tensor:
    """Return a tensor without dimensions of 1 behind its second one."""
    while found.ndim > 2 and found.shape[-1] == 1:
        found = found.squeeze(-1)
    return found


def _chosen(answer: Any, output: Output, count: int, dims: int) -> Tensor:
    if output is None:
        return answer if isinstance(answer, Tensor) else _only(answer, count, dims)
    if isinstance(answer, Tensor):
        raise ConfigError(
            f"output={output!r} chooses one of several results, and the network gives one tensor "
            f"{tuple(answer.shape)}; leave output out"
        )
    found = _at(answer, output)
    if found is None:
        raise ConfigError(
            f"output={output!r} is not in what the network gives, {_described(answer)}; "
            f"{_how(answer)}"
        )
    if not isinstance(found, Tensor):
        raise ConfigError(f"output={output!r} is {_described(found)}, and features are one tensor")
    return found


def _at(answer: Any, output: str | int) -> Any:
    """Return what lies at an index, a key, or a path with dots between; None for nothing."""
    whole = _step(answer, output)
    if whole is not None or not isinstance(output, str):
        return whole
    found = answer
    for part in output.split("."):
        found = _step(found, int(part) if part.lstrip("-").isdigit() else part)
        if found is None:
            return None
    return found


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
    """Return what lies in an object, by name."""
    if isinstance(value, Mapping):
        return {str(key): part for key, part in value.items()}
    if hasattr(value, "_fields"):  # a named tuple
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, (list, tuple)):
        return {str(number): part for number, part in enumerate(value)}
    return {k: v for k, v in getattr(value, "__dict__", {}).items() if not k.startswith("_")}


def _leaves(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Give the tensors in an answer with their paths."""
    if isinstance(value, Tensor):
        yield path, value
    elif depth < _DEEPEST:
        for name, part in _fields(value).items():
            yield from _leaves(part, f"{path}.{name}".lstrip("."), depth + 1)


def _only(answer: Any, count: int, dims: int) -> Tensor:
    """Return the one tensor that can be the features.

    Raises:
        ConfigError: there are several, or none.
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


def _advice(found: Tensor) -> str:
    if found.ndim == 3:
        return "; features of several parts (N, D, P) take parts='unit', or @parts=unit in an entry"
    return ""


def _described(value: Any, depth: int = 0) -> str:
    """Return what came, with the shapes of its tensors."""
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
