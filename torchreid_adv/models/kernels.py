"""Kernels that give the same bits each time, for what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

import torch

F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS: tuple[tuple[Any, str, bool], ...] = (
    (torch.backends.cudnn, "allow_tf32", False),
    (torch.backends.cudnn, "deterministic", True),
    (torch.backends.cudnn, "benchmark", False),
    (torch.backends.cuda.matmul, "allow_tf32", False),
)


def settings() -> tuple[bool, ...]:
    """Return what decides on the kernels that a pass runs."""
    return (*(getattr(home, name) for home, name, _ in _SETTINGS), torch.is_autocast_enabled())


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch use so many CPU threads inside the block; 0 = as many as before."""
    before = torch.get_num_threads()
    try:
        if count:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def on_configured_threads(function: F) -> F:
    """Let a function whose first argument is a config run on the threads of ``adv.job.threads``."""

    @wraps(function)
    def run(cfg: Any, *args: Any, **keywords: Any) -> Any:
        with threads(cfg.adv.job.threads):
            return function(cfg, *args, **keywords)

    return cast("F", run)


@contextmanager
def repeatable() -> Iterator[None]:
    """Use deterministic kernels without TF32 inside the block.

    TF32 rounds products to 10 bits, and cuDNN's fastest kernels differ from run to run; both would
    make a run that goes on differ from one that was never interrupted. CPUs are not concerned.
    """
    with kept_kernels():
        for home, name, value in _SETTINGS:
            setattr(home, name, value)
        yield


@contextmanager
def kept_kernels() -> Iterator[None]:
    """Put the choice of kernels back after the block, whatever it did to it."""
    before = [getattr(home, name) for home, name, _ in _SETTINGS]
    try:
        yield
    finally:
        for (home, name, _), value in zip(_SETTINGS, before, strict=True):
            setattr(home, name, value)
