"""Signals: the first one ends a job in good order, the second one at once."""

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
# Python sees a signal between two of its own steps only, and the wait for another process is one
_PATIENCE = 5.0


class Stopped(KeyboardInterrupt):
    """A signal asked the process to stop.

    Args:
        number: of the signal.
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
    """Raise :class:`Stopped` in the main thread at the first signal to stop inside the block.

    The unit that is being worked on is given up; finished units are recorded already, so that the
    same command goes on from there. A process that waits for another one, and so cannot raise, is
    ended after some seconds. Child processes keep the system's own behavior.
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
    """End the process when a signal to stop has come and is not seen for some seconds."""
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
    """Keep a forked process's signals from the watch of its parent."""
    with contextlib.suppress(ValueError):  # forked by another thread than the main one
        signal.set_wakeup_fd(-1)
