"""Signals: the first one ends a job in an orderly way, the second one immediately."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
# Python handles a signal only between two of its steps; waiting for another process is one step
_PATIENCE = 5.0


class Stopped(KeyboardInterrupt):
    """A signal asked the process to stop.

    Args:
        number: number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """Exit code of a process that a signal ended, 128 + its number."""
        return 128 + self.number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Raise :class:`Stopped` in the main thread at the first stop signal inside the block.

    The current unit of work is dropped; finished units are recorded already, so the same command
    continues from there. A process that waits for another one, and so cannot raise, is ended after
    some seconds. Child processes keep the system's default behavior.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process, seen = os.getpid(), threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        for other in STOPPING:
            signal.signal(other, signal.SIG_DFL)
        if os.getpid() != process:
            os.kill(os.getpid(), number)
        seen.set()
        raise Stopped(number)

    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in STOPPING:
        if before[number] != signal.SIG_IGN:  # nohup
            signal.signal(number, stop)
    try:
        with _watched(seen):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _watched(seen: threading.Event) -> Iterator[None]:
    """End the process if a stop signal is not handled within some seconds."""
    if os.name != "posix":
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_deaf)

    def watch() -> None:
        while number := os.read(reading, 1)[0]:
            if number in STOPPING and not seen.wait(_PATIENCE):
                print(f"stopped by {signal.Signals(number).name} while waiting", file=sys.stderr)
                os._exit(128 + number)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(writing, b"\0")


def _deaf() -> None:
    """Detach a forked process from its parent's handling of signals."""
    with contextlib.suppress(ValueError):  # not forked by the main thread
        signal.set_wakeup_fd(-1)
