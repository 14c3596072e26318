"""Canonical chunks: what is computed together does not depend on who computes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Sequence[T], size: int) -> list[list[T]]:
    """Cut items into chunks of one size; the last one may be shorter."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def filled(chunk: Sequence[T], size: int) -> list[T]:
    """Fill a chunk up by repeating its last item.

    Kernels may round differently for another batch size; only the first ``len(chunk)`` results
    count.
    """
    return [*chunk, *[chunk[-1]] * (size - len(chunk))]
