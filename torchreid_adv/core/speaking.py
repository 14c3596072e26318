"""How work in progress is reported: bars on a terminal, a callback of the caller, or not at all.

Where no bar is shown, a long job prints a line from time to time.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

Listener = Callable[[str, int, int], None]  # called with description, done, total
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)
_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


@contextlib.contextmanager
def speaking(*, quiet: bool = False, progress: Listener | None = None) -> Iterator[None]:
    """Inside the block, report work to a callback; with ``quiet``, print nothing.

    Args:
        quiet: no prints and no bars; warnings are still logged, and errors raised.
        progress: called as ``progress(description, done, total)``.
    """
    was_quiet = _QUIET.set(_QUIET.get() or quiet)
    before = _LISTENER.set(progress or _LISTENER.get())
    try:
        with _silence() if quiet else contextlib.nullcontext():
            yield
    finally:
        _LISTENER.reset(before)
        _QUIET.reset(was_quiet)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def tell(description: str, count: int, total: int) -> None:
    """Report work that has no bar to the caller's callback, if there is one."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(description, count, total)


class _Bar(tqdm):
    """A bar that passes its updates on to the listener."""

    def __init__(self, *, listener: Listener | None, total: int, desc: str, **look: Any) -> None:
        super().__init__(total=total, desc=desc, **look)
        self._told = (listener, desc, total)
        self._done = 0

    def update(self, n: float | None = 1) -> bool | None:
        """Advance by ``n``."""
        listener, description, total = self._told
        self._done += int(n or 0)
        if listener is not None:
            listener(description, self._done, total)
        return super().update(n)


def progress_bar(description: str, *, total: int, unit: str = "image") -> Any:
    """Return a tqdm bar on stderr; silent when stderr is not a terminal, or has another's bar.

    Use it as a context manager and call ``update(n)``, which also calls the caller's callback.
    """
    hidden = _QUIET.get() or not sys.stderr.isatty()
    return _Bar(
        listener=_LISTENER.get(),
        desc=description,
        total=total,
        unit=unit,
        file=sys.stderr,
        disable=hidden or os.environ.get("RANK", "0") != "0",
        dynamic_ncols=True,
        smoothing=0.1,
    )


EVERY = 300.0  # seconds


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
