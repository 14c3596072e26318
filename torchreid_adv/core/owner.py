"""The owner of a lock or an unfinished file, and whether that process still runs.

A process is identified by its host, its boot and process namespace, its number, and its start
time, because numbers and host names are reused.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from torchreid_adv.errors import DiskError

SILENT = 180.0  # seconds without a sign of life after which a process on another host has ended
_TAG = re.compile(r"(?P<host>[\w-]{1,48})~(?P<boot>[0-9a-f]{8})~(?P<pid>\d+)~(?P<started>\d+)")


@dataclass(frozen=True)
class Owner:
    """A process.

    Args:
        host: name of the machine.
        boot: identifies the boot of the machine and the process namespace, 8 hex digits.
        pid: process number.
        started: clock ticks from boot to its start; 0 where the system does not say.
    """

    host: str
    boot: str
    pid: int
    started: int

    @property
    def tag(self) -> str:
        """The owner as a part of a file name."""
        return f"{self.host}~{self.boot}~{self.pid}~{self.started}"

    def runs(self, silence: float) -> bool:
        """Tell whether the process still runs.

        Args:
            silence: seconds since its last sign of life; the only evidence for a process on
                another machine.
        """
        if self.boot == _boot():
            return _runs(self.pid, self.started, silence)
        if self.host == _host() and silence > _uptime():  # from before this machine's last boot
            return False
        return silence < SILENT


def this_process() -> Owner:
    """Return the owner of what this process writes."""
    return _owner(os.getpid())


def owner_in(name: str) -> Owner | None:
    """Return the owner in a file name; None if there is none."""
    match = _TAG.search(name)
    if match is None:
        return None
    return Owner(match["host"], match["boot"], int(match["pid"]), int(match["started"]))


def abandoned(path: Path) -> bool:
    """Tell whether the process that writes an unfinished file or folder has ended.

    A name without an owner is not one of ours.
    """
    owner = owner_in(path.name)
    try:
        return owner is not None and not owner.runs(silence_of(path, time.time()))
    except OSError:  # removed meanwhile
        return False


def silence_of(path: Path, now: float) -> float:
    """Return the seconds since a file, or a folder's list of names, was last written.

    Args:
        path: the file or folder.
        now: seconds since 1970, by the clock of the file's system.

    Raises:
        OSError: it does not exist any more.
    """
    return now - path.stat().st_mtime


@functools.lru_cache(maxsize=2)
def _owner(pid: int) -> Owner:
    return Owner(_host(), _boot(), pid, _started(pid) or 0)


@functools.cache
def _host() -> str:
    return re.sub(r"[^\w-]", "-", socket.gethostname(), flags=re.ASCII)[:48] or "host"


@functools.cache
def _boot() -> str:
    facts = [_host()]
    try:
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        facts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:  # not Linux
        pass
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]


def _uptime() -> float:
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return SILENT


def _runs(pid: int, started: int, silence: float) -> bool:
    start = _started(pid)
    if start is not None:
        return 0 < start == started
    try:  # no /proc: the number may be another process's, so its heartbeat counts, too
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return silence < SILENT


def _started(pid: int) -> int | None:
    """Return a process's start in clock ticks; 0 if it has ended, None if unknown."""
    if not os.path.exists("/proc/self/stat"):
        return None
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    state, *fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return 0 if state in "ZXx" else int(fields[18])


@dataclass
class Held:
    """A lock that a process holds.

    Args:
        folder: the locked folder, or the parent of the locked entry.
        path: path of the lock file.
        owner: the process.
        count: how often the process holds it now.
        new_folders: folders that were created for the lock, the innermost first.
    """

    folder: Path
    path: Path
    owner: Owner
    count: int = 1
    new_folders: list[Path] = field(default_factory=list)


LOCKS: dict[tuple[Path, str], Held] = {}  # (folder, entry made in it or "") -> lock


def require_held(path: Path) -> None:
    """Refuse to write below a folder whose lock this process has lost.

    Args:
        path: the path to be written.

    Raises:
        DiskError: the folder was removed, or another process took it over.
    """
    absolute = Path(os.path.abspath(path))
    for held in list(LOCKS.values()):
        inside = held.folder == absolute or held.folder in absolute.parents
        if inside and held.owner.pid == os.getpid() and not os.path.lexists(held.path):
            raise DiskError(
                f"'{held.folder}' was removed, or taken over by another process, while this one "
                "worked in it; nothing more is written there. Run the same command again"
            )
