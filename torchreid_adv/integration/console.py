"""A script's console: restored after a block, one process prints, memory is limited."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.core.processes import Team
from torchreid_adv.errors import AdvError


class Shield:
    """A stream that forwards everything but cannot be closed.

    torchreid's ``Logger`` closes the console it found when it is deleted.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def close(self) -> None:
        """Flush only; the stream may be closed when the interpreter ends."""
        with contextlib.suppress(ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class RecordingStream:
    """A stream that prints and records text until there is a log file for it.

    Args:
        stream: where the text is printed.
    """

    def __init__(self, stream: Any) -> None:
        self._stream, self._parts = stream, list[str]()
        self._held = False

    def write(self, text: str) -> int:
        """Print a text, or keep it for the end of the block that holds it."""
        self._parts.append(text)
        if not self._held:
            self._stream.write(text)
        return len(text)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold back the output of the block until its end, and drop it if the block fails.

        So a user's mistake is answered by one sentence, without hundreds of lines above it.
        """
        self._held, start = True, len(self._parts)
        try:
            yield
        except AdvError:
            self._held = False
            raise
        except BaseException:
            self._release(start)
            raise
        self._release(start)

    def _release(self, start: int) -> None:
        self._held = False
        self._stream.write("".join(self._parts[start:]))

    def go_on(self, make: Callable[[], Any]) -> Any:
        """Return a Logger whose file contains all text printed so far.

        Args:
            make: creates one of torchreid's, which prints to the current ``sys.stdout``.
        """
        sys.stdout = self._stream
        logger = make()
        if logger.file is not None:
            logger.file.write("".join(self._parts))
        return logger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def only_leader_speaks(team: Team) -> Iterator[None]:
    """Let only one of several processes print; errors of all are shown."""
    if team.leads:
        yield
        return
    with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet):
        yield


@contextlib.contextmanager
def kept_console() -> Iterator[None]:
    """Restore ``sys.stdout`` and ``sys.stderr`` after a block, open, whatever the block did."""
    streams = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        setattr(sys, name, Shield(stream))
    try:
        yield
    finally:
        for name, stream in streams.items():
            left = getattr(sys, name)
            setattr(sys, name, stream)
            if hasattr(left, "console"):  # a Logger: closes its file and the shield
                left.close()


try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

_STATM = Path("/proc/self/statm")
_LOCK = threading.RLock()  # the limit applies to the whole process


@contextlib.contextmanager
def limited_memory(extra: int) -> Iterator[None]:
    """Limit the memory the process may take in addition within the block, on Linux only.

    Raises:
        MemoryError: (or RuntimeError, from PyTorch) if more memory is needed.
    """
    if resource is None or not _STATM.exists():
        yield
        return
    with _LOCK:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        used = int(_STATM.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        limits = [limit for limit in (used + extra, soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
