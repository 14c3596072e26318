"""Names that were read from a file, as paths that stay inside of a folder on every system."""

from __future__ import annotations

import os
import re
from pathlib import Path

from torchreid_adv.errors import DataError, printable

MAX_PART = 240  # bytes of a file or folder name; file systems take some more, for unfinished files
MAX_PATH = 1024  # bytes of a whole name

# device names of Windows, there with any suffix
_RESERVED = re.compile(r"con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]", re.I)


def inside(folder: str | Path, relative: str) -> Path:
    """Return the path of a name below a folder, whether something is there or not.

    Symbolic links are followed; one that leads out of the folder is refused, the folder itself may
    be one.

    Args:
        folder: that must not be left.
        relative: name below it, parts separated by ``/``.

    Raises:
        DataError: the name is no plain relative path, or leads out of the folder.
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
    """Return what keeps a text from being a safe relative path on every system, "" for nothing."""
    if not isinstance(relative, str) or not relative:
        return "is no text" if relative else "is empty"
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
