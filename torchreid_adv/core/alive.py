"""What a long job says of itself where no progress bar is shown, and the cores that it may use."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

EVERY = 300.0  # seconds


def cores() -> int:
    """Return how many cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1  # not on Linux


@contextlib.contextmanager
def heartbeat(name: str, *, every: float = EVERY) -> Iterator[None]:
    """Inside the block, print a line to stderr from time to time: the work continues.

    Nothing is printed on a terminal, where stages have progress bars.

    Args:
        name: name of the work.
        every: seconds from one line to the next.
    """
    if sys.stderr.isatty() or os.environ.get("RANK", "0") != "0":
        yield
        return
    ended, began, stream = threading.Event(), time.monotonic(), sys.stderr

    def speak() -> None:
        while not ended.wait(every):
            minutes = (time.monotonic() - began) / 60
            with contextlib.suppress(ValueError):  # the stream is closed
                print(f"{name}: still working after {minutes:.0f} min", file=stream, flush=True)

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield
    finally:
        ended.set()
        speaker.join()
