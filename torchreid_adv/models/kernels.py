"""Kernels that give the same bits each time, for what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

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
def repeatable() -> Iterator[None]:
    """Use deterministic kernels without TF32 inside the block.

    TF32 rounds products to 10 bits, and cuDNN's fastest kernels differ from run to run; both would
    make a run that goes on differ from one that was never interrupted. CPUs are not concerned.
    """
    before = [getattr(home, name) for home, name, _ in _SETTINGS]
    try:
        for home, name, value in _SETTINGS:
            setattr(home, name, value)
        yield
    finally:
        for (home, name, _), value in zip(_SETTINGS, before, strict=True):
            setattr(home, name, value)
