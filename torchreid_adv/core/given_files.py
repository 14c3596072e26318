"""Files that a user names: the path, or the reason why it names no file."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path

from torchreid_adv.core.files import near_path
from torchreid_adv.errors import ConfigError

_MANY = 2000  # entries of a folder that are looked at


def given_file(path: str | Path, missing: str, endings: Collection[str] = ()) -> Path:
    """Return the path of a file, with the user's home for ``~``.

    Args:
        path: as it was given.
        missing: the sentence where nothing is there.
        endings: as for :func:`folder_fault`.

    Raises:
        ConfigError: it is a folder, or there is no such file.
    """
    place = Path(path).expanduser()
    fault = folder_fault(place, endings)
    if fault:
        raise ConfigError(f"'{path}' {fault}")
    if not place.is_file():
        raise ConfigError(missing)
    return place


def file_fault(path: str | Path, endings: Collection[str] = ()) -> str:
    """Return why a path does not name a file, as the end of a sentence; "" if it does.

    Args:
        path: the path.
        endings: as for :func:`folder_fault`.
    """
    if Path(path).expanduser().is_file():
        return ""
    folder = folder_fault(path, endings)
    return f"which {folder}" if folder else f"and there is no such file{near_path(path)}"


def folder_fault(path: str | Path, endings: Collection[str] = ()) -> str:
    """Return advice about a folder that is given for a file, "" for anything else.

    Args:
        path: the path.
        endings: parts that the names of such files end with, or have before a last part, as
            ``model.pth.tar-60`` has ``.pth``; they are looked for three levels deep.
    """
    place = Path(path).expanduser()
    if not str(path) or not place.is_dir():
        return ""
    below = itertools.chain(*(place.glob(level) for level in ("*", "*/*", "*/*/*")))
    names = [
        str(file.relative_to(place))
        for file in itertools.islice(below, _MANY)
        if any(ending in map(str.lower, file.suffixes) for ending in endings) and file.is_file()
    ]
    shown = ", ".join(map(repr, sorted(names)[:3]))
    return "is a folder; give the file inside" + f", such as {shown}" * bool(names)
