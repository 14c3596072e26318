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
from typing import Any, ClassVar

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
    """A bar that passes its updates on to the listener, and can say in words how far it is."""

    open: ClassVar[list[_Bar]] = []  # the innermost is last

    def __init__(self, *, listener: Listener | None, total: int, desc: str, **look: Any) -> None:
        super().__init__(total=total, desc=desc, **look)
        self._told = (listener, desc, total)
        self._units = _plural(str(look.get("unit", "image")))
        self._done, self._began = 0, time.monotonic()
        self.open.append(self)

    def update(self, n: float | None = 1) -> bool | None:
        """Advance by ``n``."""
        listener, description, total = self._told
        self._done += int(n or 0)
        if listener is not None:
            listener(description, self._done, total)
        return super().update(n)

    def close(self) -> None:
        """End the bar."""
        with contextlib.suppress(ValueError):  # closed before
            self.open.remove(self)
        super().close()

    def said(self) -> str:
        """Return description, count, rate and time left as words."""
        _, description, total = self._told
        line = f"{description}: {self._done:,} of {total:,} {self._units}"
        seconds = time.monotonic() - self._began
        if not self._done or seconds <= 0:
            return line
        left = (total - self._done) * seconds / self._done
        return f"{line}, {self._done / seconds:.3g} per second, {left / 60:.0f} min left"


def _plural(unit: str) -> str:
    if unit.endswith("y"):
        return f"{unit[:-1]}ies"
    return f"{unit}es" if unit.endswith("ch") else f"{unit}s"


def status() -> str:
    """Return how far the innermost work with a bar is, in words; "" if there is none."""
    bars = _Bar.open[-1:]
    return bars[0].said() if bars else ""


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


EVERY = 60.0  # seconds


@contextlib.contextmanager
def heartbeat(name: str, *, every: float = EVERY) -> Iterator[None]:
    """Inside the block, print a line to stderr from time to time: how far the work is.

    The line has count, rate and time left of what has a progress bar. Nothing is printed on a
    terminal, which shows the bar itself.

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
                print(_line(name, minutes, status()), file=stream, flush=True)

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield
    finally:
        ended.set()
        speaker.join()


def _line(name: str, minutes: float, stage: str) -> str:
    """Return the line of a job after some minutes; the stage is "" where it has no bar."""
    if not stage:
        return f"{name}: still working after {minutes:.0f} min"
    return f"{name}, {minutes:.0f} min: {stage}"
