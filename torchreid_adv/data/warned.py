"""Warnings about a data set: said once, and kept with the data set for the records of runs."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from contextvars import ContextVar

from torchreid_adv.errors import printable

_COLLECTED: ContextVar[list[str] | None] = ContextVar("collected", default=None)


def warn(message: str) -> None:
    """Warn of something in a data set that makes a number doubtful, and collect the warning."""
    message = printable(message)
    warnings.warn(message, stacklevel=3)
    collect(message)


def collect(message: str) -> None:
    """Add a warning that was given elsewhere to those of the data set that is read now."""
    messages = _COLLECTED.get()
    if message and messages is not None and message not in messages:
        messages.append(message)


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Yield a list that receives the warnings of the block."""
    messages: list[str] = []
    token = _COLLECTED.set(messages)
    try:
        yield messages
    finally:
        _COLLECTED.reset(token)
