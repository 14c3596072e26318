"""Lists of a data set's images in text, JSON and MATLAB files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from torchreid_adv.core.files import near_path
from torchreid_adv.data.listing import Layout

# longer marks first: that of UTF-32 starts with that of UTF-16
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


_NO_TEXT = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook of the old kind",
    b"\x1f\x8b": "compressed by gzip",
    b"PAR1": "a Parquet file, whose name would end with .parquet",
}

LARGEST = 2**31 - 1  # largest number of an identity, a camera or a line


class Line(NamedTuple):
    """A line of a list that is not blank.

    Args:
        text: the line without surrounding blanks.
        where: its number and its list, for errors.
    """

    text: str
    where: str


def lines_of(path: Path, layout: Layout) -> list[Line]:
    """Return the lines of a list without blank ones, with the line ends of any system.

    Raises:
        DataError: the file is missing, not text, or empty.
    """
    rows = re.split(r"\r\n|\r|\n", text_of(path, layout))
    lines = [
        Line(row.strip(), f"line {number} of '{path}'")
        for number, row in enumerate(rows, 1)
        if row.strip()
    ]
    if not lines:
        raise layout.error(f"the list '{path}' is empty")
    return lines


def number_of(digits: str, where: str, layout: Layout) -> int:
    """Return the number that digits stand for, possibly with a minus sign.

    Args:
        digits: decimal, ASCII.
        where: their location, such as ``line 3 of 'list.txt'``.
        layout: for the error.

    Raises:
        DataError: it is larger than :data:`LARGEST`.
    """
    size = digits.lstrip("-").lstrip("0")
    if len(size) > len(str(LARGEST)) or int(size or "0") > LARGEST:
        raise layout.error(f"{where} has the number {digits[:24]}; the largest is {LARGEST}")
    return int(digits)


def rows_of(split: Any, side: str, path: Path, layout: Layout) -> list[tuple[str, int, int]]:
    """Return the rows [path, identity, camera] of a side in a torchreid split.

    Raises:
        DataError: there are no such rows.
    """
    rows = split.get(side) if isinstance(split, dict) else None
    if not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise layout.error(
            f"'{path}' has no rows of path, identity and camera for '{side}'; remove it to have "
            "the splits written again"
        )
    return [(place, pid, camid) for place, pid, camid in rows]


def _is_row(row: Any) -> bool:
    """Tell whether a value is a path and two numbers."""
    return (
        isinstance(row, (list, tuple))
        and len(row) == 3
        and isinstance(row[0], str)
        and all(type(number) is int and 0 <= number <= LARGEST for number in row[1:])
    )


def text_of(path: Path, layout: Layout) -> str:
    """Return the text of a file in UTF-8, UTF-16, UTF-32 or Latin-1, with or without a mark.

    Raises:
        DataError: the file is missing or not text.
    """
    try:
        content = path.read_bytes()
        for mark, kind in _NO_TEXT.items():
            if content.startswith(mark):
                raise layout.error(f"the list '{path}' is {kind}; save it as text")
        return _decoded(content)
    except OSError as error:
        missing = not path.exists()
        reason = "it is missing" if missing else error.strerror or str(error)
        raise layout.error(
            f"the list '{path}' cannot be read ({reason}); put it there{near_path(path)}"
        ) from error
    except UnicodeError as error:
        raise layout.error(f"the list '{path}' cannot be read: it is not text") from error


def is_latin(path: Path) -> bool:
    """Return whether a list, which can be read, is in Latin-1 by want of another encoding."""
    content = path.read_bytes()
    if b"\0" in content[:64] or any(content.startswith(mark) for mark, _ in _MARKS):
        return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def json_of(path: Path, layout: Layout) -> Any:
    """Return the content of a JSON file.

    Raises:
        DataError: the file is missing or not JSON.
    """
    try:
        return json.loads(text_of(path, layout))
    except (ValueError, RecursionError) as error:
        raise layout.error(f"'{path}' cannot be read: it is not JSON ({error})") from error


def matlab_of(path: Path, variable: str, layout: Layout) -> np.ndarray:
    """Return a variable of a MATLAB file.

    Raises:
        DataError: the file or variable is missing, or the format is another one.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise layout.error(f"'{path}' is missing")
    try:
        content = loadmat(path)
    except Exception as error:  # its reader may raise anything on a broken file
        raise layout.error(
            f"'{path}' cannot be read as a MATLAB file ({str(error) or type(error).__name__})"
        ) from error
    if variable not in content:
        names = [name for name in content if not name.startswith("__")]
        raise layout.error(f"'{path}' has no variable '{variable}', only {', '.join(names)}")
    return np.asarray(content[variable])


def numbers_of(path: Path, variable: str, layout: Layout) -> np.ndarray:
    """Return a variable of a MATLAB file as integers; errors as in :func:`matlab_of`."""
    values = matlab_of(path, variable, layout)
    if values.dtype.kind not in "iuf" or not (values == np.floor(values)).all():
        raise layout.error(f"'{variable}' in '{path}' does not hold whole numbers")
    return values.astype(np.int64)


def _decoded(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding)
    if b"\0" in content[:64]:  # UTF-16 without a byte order mark
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def words_of(path: Path, layout: Layout) -> Iterator[str]:
    """Yield the words of a list between commas and blanks; errors as in :func:`lines_of`."""
    for line in lines_of(path, layout):
        yield from re.split(r"[,\s]+", line.text.strip(", \t"))
