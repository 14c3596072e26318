"""Files that are whole or not there: written beside the target, flushed, then renamed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

_FLUSHERS = 8  # files flushed at a time: journals take several for the price of one


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its place only when the block ends without an error.

    Raises:
        OSError: the folder cannot be written or the disk is full; the old file is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def sweep(folder: Path) -> None:
    """Remove what killed writers of :func:`atomic_file` left in a folder in which nobody writes."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or leave things as they were."""
    with atomic_file(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write a whole UTF-8 text file or leave things as they were."""
    write_bytes(path, content.encode("utf-8"))


def write_together(contents: Mapping[Path, bytes], scratch: Path) -> None:
    """Write several files, each whole or not at all; all are on disk when this returns.

    Args:
        contents: of the files, by their paths; older files there are replaced.
        scratch: folder on the same disk for unfinished files; a kill leaves them there.

    Raises:
        OSError: the disk is full or cannot be written; older files stand as they were.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    unfinished = [scratch / f"{number}.tmp" for number in range(len(contents))]
    folders = {path.parent for path in contents}
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for name, content in zip(unfinished, contents.values(), strict=True):
            name.write_bytes(content)
        with ThreadPoolExecutor(_FLUSHERS) as pool:
            list(pool.map(_flush_file, unfinished))
        for name, path in zip(unfinished, contents, strict=True):
            os.replace(name, path)
    except BaseException:
        for name in unfinished:
            with contextlib.suppress(OSError):
                name.unlink(missing_ok=True)
        raise
    for folder in folders:
        flush_folder(folder)


def flush_folder(folder: Path) -> None:
    """Bring a folder's list of names to disk, where the system can (Windows cannot)."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _flush_file(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
