"""Locks that let one process at a time work in a folder, and that end with the process.

A lock is a file whose name says which process holds it, so that no process removes the lock of
another by mistake. A process creates its lock file, looks for those of others, and removes its own
if others were first. Locks of processes that have ended are removed by the next process. The holder
touches its file every few seconds; on storage shared by several hosts this is the only sign that a
process on another host still runs.
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

ALL = "all"  # the lock of a whole folder; a shard's lock has the name of the shard
_NAME = re.compile(r"\..*\.lock\.(?P<part>all|\d+of\d+)\.[^.]+", re.DOTALL)
_BEAT = 15.0  # seconds between two signs of life
_PAUSE = (0.1, 0.5)  # seconds between two checks of another process's lock
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_guard = threading.RLock()


@contextlib.contextmanager
def working_in(folder: str | Path, team: Team = ALONE, *, wait: bool = True) -> Iterator[None]:
    """Lock a run's folder: no other process works in it until the block ends.

    The shards of a job array share the folder, and so do the processes that torchrun connects: the
    first of those locks it for all. A process may lock its folder again. A folder that cannot be
    written is not locked.

    Args:
        folder: of the run; created if necessary, and removed again if nothing was written.
        team: this process and those that share the work.
        wait: wait until another process that holds the folder has ended, instead of refusing.

    Raises:
        ConfigError: the text is not a valid path, or another process works in the folder and
            ``wait`` is off.
        DiskError: a file or a broken link is in the way.
        OSError: the folder cannot be created.
    """
    part = ALL if team.whole else f"{team.rank}of{team.world}"
    with contextlib.ExitStack() as stack:
        if team.leads:
            stack.enter_context(_locked(checked_folder(folder), "", part, wait))
        team.wait()
        yield


@contextlib.contextmanager
def making(folder: Path) -> Iterator[None]:
    """Lock the name of a folder that is made once and then reused, such as a trained model's.

    Another process that wants the same folder waits, and then uses it.

    Args:
        folder: exists when the block ends; only its parent is locked.

    Raises:
        ConfigError: the text is not a valid path.
        DiskError: a file or a broken link is in the way.
        OSError: the parent cannot be created.
    """
    folder = Path(os.path.abspath(folder))
    with _locked(checked_folder(folder.parent), folder.name, ALL, True):
        yield


def checked_folder(folder: str | Path) -> Path:
    """Return the absolute path of a folder that exists or can be created.

    Raises:
        ConfigError: the text is not a valid path.
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
    if held is None:  # read-only: no lock is needed
        yield
        return
    try:
        yield
    finally:
        with _guard:
            held.count -= 1
            if not held.count:
                LOCKS.pop((folder, entry), None)
                if held.owner == this_process():  # not a fork of it
                    _release(held)


def _held_again(folder: Path, entry: str) -> Held | None:
    with _guard:
        held = LOCKS.get((folder, entry))
        if held is None or held.owner != this_process():
            return None
        held.count += 1
        return held


def _acquired(folder: Path, entry: str, part: str, wait: bool) -> Held | None:
    """Lock a folder once no other process holds it; None for a read-only folder."""
    announced = False
    while True:
        new_folders = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f".{shortened(entry)}.lock.{part}.{this_process().tag}"
        held = Held(folder, path, this_process(), new_folders=new_folders)
        try:
            with _guard:  # another thread may release the same lock
                others = _announced(held, entry, part)
                if not others:
                    return _registered(held, entry)
        except FileNotFoundError:  # its last holder removed the folder
            time.sleep(_PAUSE[0])
            continue
        except OSError as error:
            if error.errno in _READ_ONLY and not new_folders:
                return None
            raise
        _remove_made(held)
        if not wait:
            raise ConfigError(
                f"{_who_works(folder, others[0])}. Wait until it has ended, or choose another "
                "data.save_dir"
            )
        if not announced:
            print(f"Waiting: {_who_works(folder, others[0])}", file=sys.stderr, flush=True)
            announced = True
        time.sleep(random.uniform(*_PAUSE))


def _registered(held: Held, entry: str) -> Held:
    """Count a lock, also if another thread of this process has taken the same one meanwhile."""
    same = _held_again(held.folder, entry)
    if same is not None:
        return same
    LOCKS[held.folder, entry] = held
    _keep_beating()
    return held


def _announced(held: Held, entry: str, part: str) -> list[Path]:
    """Create a lock file and return the locks in its way; if there are any, remove it again."""
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


def _locks_beside(lock_path: Path, entry: str, part: str) -> tuple[list[Path], list[Path]]:
    """Return the locks that exclude this one, and those whose processes have ended."""
    now, others, stale = lock_path.stat().st_mtime, [], []
    for path in sorted(lock_path.parent.glob(f".{_literal(shortened(entry))}.lock.*")):
        match, owner = _NAME.fullmatch(path.name), owner_in(path.name)
        if match is None or owner is None or owner == this_process():
            continue
        try:
            runs = owner.runs(silence_of(path, now))
        except OSError:  # released meanwhile
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
        f"{SILENT:.0f} s it counts as ended. To continue sooner, remove "
        f"'{shown}/{printable(lock.name)}'"
    )


def _release(held: Held) -> None:
    with contextlib.suppress(OSError):
        held.path.unlink()
    _remove_made(held)


def _remove_made(held: Held) -> None:
    """Remove the folders that were created for a lock and are still empty."""
    with contextlib.suppress(OSError):
        for place in held.new_folders:
            place.rmdir()


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process of this host at a time check and lock, where the system supports it."""
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
            except OSError:  # a file system without file locks
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
