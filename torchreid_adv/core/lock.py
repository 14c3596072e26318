"""One process at a time in a folder: advisory locks that outlive neither a process nor a boot.

A lock is a file whose name says which process holds it, so that nobody can remove another one's by
mistake. A process makes its own file, looks for those of others, and takes its own back when
somebody else was there first. Locks of processes that have ended are removed by whoever comes
next. The holder touches its file every few seconds; on storage shared by several hosts that is the
only sign of life by which a process of another host can be judged.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from torchreid_adv.core.files import remove, shortened, sweep
from torchreid_adv.core.owner import LOCKS, SILENT, Held, owner_in, silence_of, this_process
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.errors import ConfigError, DiskError, printable

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

ALL = "all"  # the lock of a whole folder; that of a shard is named after the shard
_NAME = re.compile(r"\..*\.lock\.(?P<part>all|\d+of\d+)\.[^.]+", re.DOTALL)
_BEAT = 15.0  # seconds between two signs of life
_PAUSE = (0.1, 0.5)  # seconds between two looks at another process's lock
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_guard = threading.RLock()


@contextlib.contextmanager
def working_in(folder: str | Path, team: Team = ALONE, *, wait: bool = True) -> Iterator[None]:
    """Hold a run's folder: no other process works in it until the block ends.

    The shards of a job array share the folder, and so
    do the processes that torchrun connects: the first of those holds it for all. A process that
    holds the folder already goes on. A folder that cannot be written is not locked.

    Args:
        folder: of the run; made if need be, and removed again when nothing was written there.
        team: this process and those it shares the work with.
        wait: until another process that holds the folder has ended, instead of refusing.

    Raises:
        ConfigError: the text cannot be a path, or another process works in the folder and it is not
            waited for.
        DiskError: a file or a broken link is in the way.
        OSError: the folder cannot be made.
    """
    part = ALL if team.whole else f"{team.rank}of{team.world}"
    with contextlib.ExitStack() as stack:
        if team.leads:
            stack.enter_context(_locked(checked_folder(folder), "", part, wait))
        team.wait()
        yield


@contextlib.contextmanager
def making(folder: Path) -> Iterator[None]:
    """Hold the name of a folder that is made once and then kept, such as a trained model's.

    Another process that wants the same folder waits, and then finds it.

    Args:
        folder: that is there when the block ends; only its parent is locked.

    Raises:
        ConfigError: the text cannot be a path.
        DiskError: a file or a broken link is in the way.
        OSError: the parent cannot be made.
    """
    folder = Path(os.path.abspath(folder))
    with _locked(checked_folder(folder.parent), folder.name, ALL, True):
        yield


def checked_folder(folder: str | Path) -> Path:
    """Return the absolute path of a folder that is there or can be made.

    Raises:
        ConfigError: the text cannot be a path.
        DiskError: a file or a broken link is in the way.
    """
    text = os.fspath(folder)
    if "\0" in text:
        raise ConfigError(f"the path {text!r} holds a NUL character; give another data.save_dir")
    path = Path(os.path.abspath(text))
    nearest = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if nearest.is_dir():
        return path
    shown = printable(str(nearest))
    if nearest.is_symlink():
        raise DiskError(
            f"'{shown}' is a link to '{printable(os.readlink(nearest))}', which does not exist; "
            "make that folder, or give another data.save_dir"
        )
    raise DiskError(
        f"Not a directory: '{shown}' is a file where a folder is needed; give another data.save_dir"
    )


@contextlib.contextmanager
def _locked(folder: Path, entry: str, part: str, wait: bool) -> Iterator[None]:
    held = _held_again(folder, entry) or _acquired(folder, entry, part, wait)
    if held is None:  # read only: nobody can write there
        yield
        return
    try:
        yield
    finally:
        with _guard:
            held.count -= 1
            if not held.count:
                LOCKS.pop((folder, entry), None)
                if held.owner == this_process():  # and no fork of it
                    _release(held)


def _held_again(folder: Path, entry: str) -> Held | None:
    with _guard:
        held = LOCKS.get((folder, entry))
        if held is None or held.owner != this_process():
            return None
        held.count += 1
        return held


def _acquired(folder: Path, entry: str, part: str, wait: bool) -> Held | None:
    """Hold a folder once nobody else does; None for one that is read only."""
    said = False
    while True:
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f".{shortened(entry)}.lock.{part}.{this_process().tag}"
        held = Held(folder, path, this_process(), made=made)
        try:
            with _guard:  # another thread of this process gives the same lock back
                others = _announced(held, entry, part)
                if not others:
                    return _registered(held, entry)
        except FileNotFoundError:  # the folder was given up by its last holder
            time.sleep(_PAUSE[0])
            continue
        except OSError as error:
            if error.errno in _READ_ONLY and not made:
                return None
            raise
        _remove_made(held)
        if not wait:
            raise ConfigError(
                f"{_who_works(folder, others[0])}. Wait until it has ended, or choose another "
                "data.save_dir"
            )
        if not said:
            print(f"Waiting: {_who_works(folder, others[0])}", file=sys.stderr, flush=True)
            said = True
        time.sleep(random.uniform(*_PAUSE))


def _registered(held: Held, entry: str) -> Held:
    """Remember a lock, or that another thread of this process has taken the same one meanwhile."""
    same = _held_again(held.folder, entry)
    if same is not None:
        return same
    LOCKS[held.folder, entry] = held
    _keep_beating()
    return held


def _announced(held: Held, entry: str, part: str) -> list[Path]:
    """Make a lock file and return those of others in its way; it is gone again if there are any."""
    with _one_at_a_time(held.folder):
        held.path.touch()
        others, stale = _locks_beside(held.path, entry, part)
        if others:
            held.path.unlink(missing_ok=True)
        elif stale:  # take over: remove what those processes left unfinished
            sweep(held.folder, entry, deep=not entry)
            for path in stale:
                remove(path)
    return others


def _locks_beside(own: Path, entry: str, part: str) -> tuple[list[Path], list[Path]]:
    """Return the locks that another one cannot stand beside, and those nobody holds any more."""
    now, others, stale = own.stat().st_mtime, [], []
    for path in sorted(own.parent.glob(f".{_literal(shortened(entry))}.lock.*")):
        match, owner = _NAME.fullmatch(path.name), owner_in(path.name)
        if match is None or owner is None or owner == this_process():
            continue
        try:
            runs = owner.runs(silence_of(path, now))
        except OSError:  # given back meanwhile
            continue
        if not runs:
            stale.append(path)
        elif ALL in (part, match["part"]) or part == match["part"]:
            others.append(path)
    return others, stale


def _who_works(folder: Path, lock: Path) -> str:
    owner = owner_in(lock.name)
    assert owner is not None
    shown = printable(str(folder))
    sentence = f"process {owner.pid} on {owner.host} works in '{shown}'"
    if owner.boot == this_process().boot:
        return sentence
    return (
        f"{sentence}. Its host cannot be asked whether it still runs: without a sign of life for "
        f"{SILENT:.0f} s it counts as ended. To go on sooner, remove "
        f"'{shown}/{printable(lock.name)}'"
    )


def _release(held: Held) -> None:
    with contextlib.suppress(OSError):
        held.path.unlink()
    _remove_made(held)


def _remove_made(held: Held) -> None:
    """Remove the folders that were made for a lock and in which nothing was written."""
    with contextlib.suppress(OSError):
        for place in held.made:
            place.rmdir()


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process of this host at a time look and take, where the system can do that."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:  # a file system without such locks
                break
        yield
    finally:
        os.close(handle)


def _literal(entry: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", entry)


_beating = 0  # the process whose thread touches its locks


def _keep_beating() -> None:
    """Start the thread that touches the locks of this process, once."""
    global _beating
    with _guard:
        if _beating != os.getpid():
            _beating = os.getpid()
            threading.Thread(target=_beat, daemon=True).start()


def _beat() -> None:
    while True:
        time.sleep(_BEAT)
        for held in list(LOCKS.values()):
            with contextlib.suppress(OSError):
                os.utime(held.path)
