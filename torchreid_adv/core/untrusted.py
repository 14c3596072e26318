"""Files from others: only regular files are opened, and only strict JSON is parsed.

A submission may hold pipes, devices, sparse files, deeply nested JSON, or endless lines. All of
these are refused with an error before they cost time or memory.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from torchreid_adv.errors import DataError, printable

MAX_DEPTH = 32  # nested lists and objects; ours have at most eight
MAX_DIGITS = 18  # of an integer; longer ones do not fit into 64 bits
_NONBLOCKING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def open_regular(path: str | Path, limit: int) -> BinaryIO:
    """Open a regular file of at most ``limit`` bytes for reading.

    Raises:
        DataError: the file is missing, is a folder, pipe or device, or is too large.
    """
    shown = printable(str(path))
    try:
        _check(os.stat(path), shown, limit)
        handle = os.open(path, os.O_RDONLY | _NONBLOCKING | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:  # ValueError: a NUL or a surrogate in the name
        raise DataError(f"cannot open '{shown}': {printable(str(error))}") from error
    file = os.fdopen(handle, "rb")
    try:
        _check(os.fstat(handle), shown, limit)
    except DataError:
        file.close()
        raise
    return file


def read_regular(path: str | Path, limit: int) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises:
        DataError: as in :func:`open_regular`, or the content is shorter or longer than the file's
            size, as in ``/proc``.
    """
    with open_regular(path, limit) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            content = file.read(size + 1)
        except OSError as error:
            raise DataError(f"cannot read '{printable(str(path))}': {error}") from error
    if len(content) != size:
        raise DataError(
            f"'{printable(str(path))}' does not hold as many bytes as its size says; it is not a "
            "regular file, or it is being written"
        )
    return content


def read_json(path: str | Path, limit: int) -> Any:
    """Parse a JSON file of at most ``limit`` bytes.

    Raises:
        DataError: it cannot be read, or is not JSON for :func:`parse_json`.
    """
    content = read_regular(path, limit)
    try:
        return parse_json(content)
    except ValueError as error:
        raise DataError(f"'{printable(str(path))}' cannot be read as JSON: {error}") from error


def parse_json(content: bytes) -> Any:
    """Parse strict JSON.

    Raises:
        ValueError: not UTF-8, not JSON, a duplicate key in an object, NaN or infinity, an integer
            of more than 18 digits, or more than 32 nested lists and objects.
    """
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_not_finite,
            parse_int=_integer,
            parse_float=_float,
        )
    except RecursionError as error:
        raise ValueError(f"it nests more than {MAX_DEPTH} lists and objects") from error
    _check_depth(value)
    return value


def _check(status: os.stat_result, shown: str, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"'{shown}' is a folder, a pipe or a device, not a file; remove it")
    if status.st_size > limit:
        raise DataError(f"'{shown}' has {status.st_size} bytes, more than {limit} bytes")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{printable(twice[:80])}' stands twice in one object")
    return members


def _not_finite(word: str) -> Any:
    raise ValueError(f"{word} is not a JSON number")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer has more than {MAX_DIGITS} digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {digits[:40]} is too large")
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return
    raise ValueError(f"it nests more than {MAX_DEPTH} lists and objects")


def _inner(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
