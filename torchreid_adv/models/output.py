"""What a network answers, and which part of it are the features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from torchreid_adv.core.faults import out_of_memory
from torchreid_adv.errors import AdvError, ConfigError, printable

Output = str | int | None


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


def features_in(answer: Any, output: Output, count: int) -> Tensor:
    """Return the features (N, D) in what a network answered.

    Args:
        answer: a tensor, or several in a list, tuple or dict.
        output: index or key of the features where there are several.
        count: N.

    Raises:
        ConfigError: the answer is none of these, or no floats (N, D).
    """
    found = _chosen(answer, output)
    if found.ndim != 2 or len(found) != count or not found.is_floating_point():
        wanted = f"features are floats ({count}, D), one row for each image"
        raise ConfigError(f"the network gives {_described(found)}, and {wanted}{_advice(found)}")
    return found


def _chosen(answer: Any, output: Output) -> Tensor:
    if output is None:
        if isinstance(answer, Tensor):
            return answer
        raise ConfigError(f"the network gives {_described(answer)}; {_how(answer)}")
    if isinstance(answer, Tensor):
        raise ConfigError(
            f"output={output!r} chooses one of several results, and the network gives one tensor "
            f"{tuple(answer.shape)}; leave output out"
        )
    try:
        found = answer[output]
    except (LookupError, TypeError):
        raise ConfigError(
            f"output={output!r} is not in what the network gives, {_described(answer)}; "
            f"{_how(answer)}"
        ) from None
    if not isinstance(found, Tensor):
        raise ConfigError(f"output={output!r} is {_described(found)}, and features are one tensor")
    return found


def _how(answer: Any) -> str:
    example = "'feat'"
    if isinstance(answer, Mapping) and answer:
        example = repr(next(iter(answer)))
    elif isinstance(answer, (list, tuple)) and answer:
        example = "0"
    elif not isinstance(answer, (Mapping, list, tuple)):
        return "return the features (N, D) that are ranked from its forward"
    return (
        f"features are one tensor (N, D): choose it, for example with output={example} in "
        "PixelModel or load_model"
    )


def _advice(found: Tensor) -> str:
    if found.ndim > 2 and found.shape[2:].numel() == 1:
        return "; flatten it, as in torch.nn.Sequential(network, torch.nn.Flatten())"
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
    return f"a {kind}"
