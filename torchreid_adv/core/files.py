"""Atomic files, names that stay inside a folder, and free disk space.

Names of unfinished files and folders carry the process that writes them; other processes do not
remove them while that process runs.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from torchreid_adv.core.owner import abandoned, require_held, this_process
from torchreid_adv.errors import DataError, DiskError, nearest, printable

_MANY = 2000  # entries of a folder that are looked at
_MAX_ENTRY = 100  # bytes; file systems allow 255, and the host name is added
_FLUSHERS = 8  # files flushed at a time: a journal writes several in one go


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing; it replaces the old one only if the block ends without an error.

    Raises:
        OSError: the folder cannot be written or the disk is full; the old file is unchanged.
        DiskError: this process held the lock of the folder and has lost it.
    """
    require_held(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(unfinished_name())
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def unfinished_name(entry: str = "") -> str:
    """Return a new hidden name for a file or folder that is being written, with its owner.

    Args:
        entry: the final name, where several things are made in one folder.
    """
    return f".{shortened(entry)}.{this_process().tag}~{secrets.token_hex(4)}.tmp"


def shortened(name: str) -> str:
    """Shorten a name so that an owner's name can be added; a long name becomes its hash."""
    return name if len(name.encode()) <= _MAX_ENTRY else sha256(name.encode()).hexdigest()[:32]


def sweep(folder: Path, entry: str = "", *, deep: bool = False) -> None:
    """Remove unfinished files and folders, and locks, of processes that have ended.

    Args:
        folder: the folder to search.
        entry: only what was to become this entry, and its locks.
        deep: also search subfolders.
    """
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            mine = not entry or name.startswith(f".{shortened(entry)}.")
            if mine and name.startswith(".") and (name.endswith(".tmp") or ".lock." in name):
                path = Path(place, name)
                if abandoned(path):
                    remove(path)
        if not deep:
            return


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def move_files(source: Path, folder: Path) -> None:
    """Move all files below one folder to the same places below another, on the same disk.

    Each file is flushed first and replaces an older file atomically.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        place = folder / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        _flush_file(path)
        os.replace(path, place)
        flush_folder(place.parent)


@contextlib.contextmanager
def removed_after(path: Path) -> Iterator[None]:
    """Remove an unfinished file or folder when the block ends, with or without an error."""
    try:
        yield
    finally:
        remove(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, or leave the old one unchanged.

    A file with the same content is not touched, so a finished run can be read on a read-only disk.
    """
    if holds(path, content):
        return
    with atomic_file(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write a whole UTF-8 text file, or leave the old one unchanged."""
    write_bytes(path, content.encode("utf-8"))


def write_together(contents: Mapping[Path, bytes], top: Path, scratch: Path) -> None:
    """Write several files, each whole or not at all; all are on disk on return.

    Args:
        contents: content by path; older files are replaced.
        top: the folder that contains all of them. It is not created: if it is missing, somebody
            removed it on purpose.
        scratch: folder on the same disk for unfinished files, created here; left after a kill.

    Raises:
        OSError: the disk is full or cannot be written, or ``top`` is missing; older files are
            unchanged.
        DiskError: this process held the lock of the folder and has lost it.
    """
    require_held(top)
    folders = {path.parent for path in contents}
    unfinished = [scratch / f"{number}.tmp" for number in range(len(contents))]
    try:
        scratch.mkdir(exist_ok=True)
        for folder in folders:
            _make_below(top, folder)
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


def _make_below(top: Path, folder: Path) -> None:
    """Create a folder and its missing parents below an existing folder."""
    between = [place for place in folder.parents if top in place.parents]
    for place in (*reversed(between), *([folder] if folder != top else [])):
        place.mkdir(exist_ok=True)


def flush_folder(folder: Path) -> None:
    """Flush a folder's list of names to disk, where the system can (Windows cannot)."""
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


def holds(path: Path, content: bytes) -> bool:
    """Tell whether a file exists and holds exactly these bytes."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


MAX_PART = 240  # bytes of a file or folder name; the rest up to 255 is for unfinished files
MAX_PATH = 1024  # bytes of a relative path

# device names on Windows, with any suffix
_RESERVED = re.compile(r"con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]", re.I)


def inside(folder: str | Path, relative: str) -> Path:
    """Return the path of a name below a folder, whether it exists or not.

    Symbolic links are followed, and refused if they lead out of the folder; the folder itself may
    be a link.

    Args:
        folder: the folder that contains the name.
        relative: name below it, parts separated by ``/``.

    Raises:
        DataError: the name is not a plain relative path, or leads out of the folder.
    """
    fault = name_fault(relative)
    if fault:
        raise DataError(f"the name '{_shown(relative)}' cannot be used in '{folder}': it {fault}")
    path = Path(folder) / relative
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise DataError(
            f"'{path}' is a symbolic link that leads out of '{folder}'; put the file itself there"
        )
    return path


def name_fault(relative: str) -> str:
    """Return why a text is not a safe relative path on every system; "" if it is."""
    if not isinstance(relative, str) or not relative:
        return "is not text" if relative else "is empty"
    if not relative.isprintable():
        return "holds control characters, or bytes that are not UTF-8; rename it"
    if "\\" in relative or ":" in relative:
        return "holds a backslash or a colon, which name folders and drives; rename it"
    if len(relative.encode()) > MAX_PATH:
        return f"is longer than {MAX_PATH} bytes; shorten it"
    return next(filter(None, map(_part_fault, relative.split("/"))), "")


def _part_fault(part: str) -> str:
    if part in ("", ".", ".."):
        return "is absolute, or has parts like '..' that lead elsewhere"
    if len(part.encode()) > MAX_PART:
        return f"has a part of more than {MAX_PART} bytes; shorten it"
    if part[-1] in ". ":
        return "has a part that ends with a dot or a space, which Windows drops; rename it"
    if _RESERVED.fullmatch(part.split(".")[0].rstrip()):
        return "has a part that is a device on Windows; rename it"
    return ""


def _shown(text: object) -> str:
    shown = printable(str(text))
    return shown if len(shown) <= 80 else f"{shown[:80]}..."


_GIGA = 1e9
# PNG cannot compress noise: an image takes three bytes per pixel and a little more
BYTES_PER_PIXEL = 3.03
_PER_IMAGE = 512  # bytes for the manifest and for partly filled blocks


def require_space(folder: Path, *, images: int, pixels: int, other: int = 0) -> None:
    """Refuse to start a run that may not fit on the disk.

    Args:
        folder: where it will be stored; it need not exist.
        images: number of images still to be written.
        pixels: of all these images.
        other: further bytes.

    Raises:
        DiskError: less is free than the run can take at most.
    """
    needed = int(pixels * BYTES_PER_PIXEL) + images * _PER_IMAGE + other
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise DiskError(
            f"'{folder}' has {free / _GIGA:.2f} GB free and {images} images can take up to "
            f"{needed / _GIGA:.2f} GB; free some, or choose another data.save_dir"
        )


def near_path(path: str | Path) -> str:
    """Return ``; did you mean 'x'?`` for a missing path, "" if no name is near.

    The first missing part of it is compared with the names in the folder above.
    """
    missing = Path(path).expanduser()
    below: list[str] = []
    while not missing.parent.is_dir() and missing.parent != missing:
        below.insert(0, missing.name)
        missing = missing.parent
    try:
        with os.scandir(missing.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, _MANY)]
    except OSError:
        return ""
    near = nearest(missing.name, [name for name in names if not name.startswith(".")])
    if not near or near == missing.name:
        return ""
    near_place = missing.with_name(near)
    whole = near_place.joinpath(*below)
    return f"; did you mean '{whole if whole.exists() else near_place}'?"
