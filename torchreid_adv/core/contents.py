"""SHA-256 of files: each file is read once, and again only if it may have changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import write_text
from torchreid_adv.errors import ConfigError

FILE_NAME = "files.json"
FORMAT = 1
_PIECE = 2**20  # bytes read at a time
_END = 2**10  # bytes at the end of a file that are compared first
SETTLED = 2_000_000_000  # ns: a younger file may still change without a change of its times

Stamp = tuple[int, ...]  # changes whenever the file is replaced or written
_known: dict[str, tuple[Stamp, str]] = {}  # path -> stamp and SHA-256, for this process


def stamp_of(path: str | Path) -> Stamp:
    """Return the size, times and inode of a file; () if it does not exist.

    ``mtime`` alone can be set to an old value (``cp -p``); ``ctime`` cannot.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return ()
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def digest_of(path: str | Path) -> str:
    """Return the SHA-256 of a regular file, hex; "" if it cannot be read."""
    digest = hashlib.sha256()
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block
            return ""
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except (OSError, ValueError):
        return ""
    return digest.hexdigest()


def file_digest(path: str | Path, description: str) -> str:
    """Return the SHA-256 of a file that a config names.

    Args:
        path: the file.
        description: what the file is, for the error.

    Raises:
        ConfigError: it cannot be read.
    """
    digest = Contents().of([Path(path).expanduser()])[0]
    if not digest:
        raise ConfigError(f"cannot read {description} '{path}'; check the path")
    return digest


class Contents:
    """The SHA-256 of files, remembered with sizes and times in this process and in a file.

    Args:
        folder: holds ``files.json`` of earlier runs; None = remember in this process only.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.store = None if folder is None else folder / FILE_NAME
        stored = _stored(self.store)
        self._asked = set(stored)
        self._written = {path: (tuple(stamp), digest) for path, (stamp, digest) in stored.items()}
        for path, known in self._written.items():
            _known.setdefault(path, known)

    def of(self, paths: Iterable[str | Path]) -> list[str]:
        """Return the SHA-256 of each file, "" for a file that cannot be read."""
        return [self._digest_of(os.path.abspath(path)) for path in paths]

    def equal(self, paths: Iterable[str | Path]) -> list[list[str]]:
        """Return the groups of files with equal bytes, two files or more each, in their order.

        Only files of one size whose ends are equal are read as a whole.
        """
        groups = [[os.path.abspath(path) for path in dict.fromkeys(map(str, paths))]]
        for key in (_size_of, _end_of, self._digest_of):
            groups = [equal for group in groups for equal in _split(group, key)]
        return groups

    def learn(self, path: str | Path, stamp: Sequence[int], digest: str) -> None:
        """Remember the hash of a file that was read for another purpose.

        Args:
            path: the file.
            stamp: the file's stamp, taken before it was read.
            digest: SHA-256, hex.
        """
        name = os.path.abspath(path)
        self._asked.add(name)
        if digest and stamp and time.time_ns() - max(stamp[1:3]) > SETTLED:
            _known[name] = (tuple(stamp), digest)

    def keep(self) -> None:
        """Store the hashes of the files that were asked for.

        If the folder cannot be written, the files are read again next time.
        """
        files = {name: _known[name] for name in sorted(self._asked) if name in _known}
        if self.store is None or files == self._written:
            return
        with contextlib.suppress(OSError):
            write_text(self.store, json.dumps({"format": FORMAT, "files": files}) + "\n")
            self._written = files

    def _digest_of(self, name: str) -> str:
        self._asked.add(name)
        stamp = stamp_of(name)
        if name in _known and _known[name][0] == stamp:
            return _known[name][1]
        digest = digest_of(name)
        self.learn(name, stamp, digest)
        return digest


def _split(names: list[str], key: Callable[[str], Any]) -> list[list[str]]:
    """Return the groups of names with one key, not those with a single name or no key."""
    groups: dict[Any, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return [group for value, group in groups.items() if value and len(group) > 1]


def _size_of(name: str) -> int:
    return next(iter(stamp_of(name)), 0)


def _end_of(name: str) -> bytes:
    """Return the last bytes of a regular file, in which images of one size usually differ."""
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):
            return b""
        with open(name, "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - _END, 0))
            return file.read(_END)
    except (OSError, ValueError):
        return b""


def _stored(path: Path | None) -> dict[str, tuple[list[int], str]]:
    """Return the hashes that an earlier run stored; empty if the file is damaged."""
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        files: dict[str, tuple[list[int], str]] = content["files"]
        good = content["format"] == FORMAT and all(len(pair) == 2 for pair in files.values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return files if good else {}
