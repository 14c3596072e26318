"""A bound on memory while a file is read whose size on disk says nothing of what it unfolds to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

_STATM = Path("/proc/self/statm")
_LOCK = threading.RLock()  # the limit is the whole process's


@contextlib.contextmanager
def limited_memory(extra: int) -> Iterator[None]:
    """Let the process take at most so many bytes more within the block, on Linux; free elsewhere.

    Raises:
        MemoryError: (or RuntimeError, from PyTorch) where something wants more.
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
