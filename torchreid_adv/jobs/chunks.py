"""Canonical chunks: what is computed together does not depend on who computes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Sequence[T], size: int) -> Iterator[tuple[list[T], int]]:
    """Cut items into chunks of one size and yield ``(chunk, count)``.

    The last chunk is filled up by repeating its last item, because convolution kernels may round
    differently for another batch size; only its first ``count`` results count.
    """
    for start in range(0, len(items), size):
        chunk = list(items[start : start + size])
        count = len(chunk)
        yield chunk + [chunk[-1]] * (size - count), count
