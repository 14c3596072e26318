"""The image files in a data set's folders: each is listed, or reported with its problem.

Other files are skipped: hidden files (``.DS_Store``, ``._x.jpg``), ``Thumbs.db``, and files that
are not images.
"""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torchreid_adv import config
from torchreid_adv.core.files import name_fault, near_path
from torchreid_adv.data.warned import warn
from torchreid_adv.errors import DataError, printable

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")  # in upper or lower case
_UNREADABLE = (
    *(".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".jfif", ".jpe", ".jp2", ".jxl", ".heic"),
    *(".heif", ".avif", ".tga", ".pcx", ".ico", ".dib"),
)
_SYSTEM = ("thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
_SHOWN = 5


@dataclass(frozen=True)
class Layout:
    """The public layout of a data set's folders, for error messages.

    Args:
        name: name of the data set.
        text: its public layout.
    """

    name: str
    text: str

    def error(self, message: str) -> DataError:
        """Return an error with a problem and the public layout."""
        return DataError(
            f"cannot read the data set '{self.name}': {printable(message)}; the public layout is "
            f"{self.text}"
        )


def images_at(folder: str | Path, layout: Layout, *, depth: int = 0) -> list[str]:
    """Return the paths of all image files in a folder, in directory order.

    Args:
        folder: the folder.
        layout: for errors.
        depth: number of folder levels between it and the images.

    Raises:
        DataError: the folder is missing or has no images, an image is at another level, a link is
            broken, or an image has an unsupported format or suffix.
    """
    if not os.path.isdir(folder):
        raise layout.error(f"folder '{folder}' is missing")
    paths = list(_images(str(folder), depth, layout))
    if not paths:
        raise layout.error(f"there is an empty split, folder '{folder}' holds no images")
    return paths


def subfolders(folder: str | Path, layout: Layout) -> list[str]:
    """Return the names of the folders in a folder, sorted.

    Raises:
        DataError: the folder is missing, or an image is in none of its folders.
    """
    if not os.path.isdir(folder):
        raise layout.error(f"folder '{folder}' is missing{near_path(folder)}")
    names = []
    for entry in _entries(str(folder), layout):
        if _is_folder(entry):
            names.append(entry.name)
        elif is_image(entry, layout):
            raise layout.error(f"'{entry.path}' is next to the folders, not in one of them")
    return sorted(names)


def is_image(entry: os.DirEntry[str], layout: Layout) -> bool:
    """Tell whether a file (not a folder) is an image.

    Raises:
        DataError: it is an image with an unsupported suffix, or not a regular file.
    """
    suffix = _suffix(entry)
    if suffix in SUFFIXES:
        if not _is_file(entry):
            raise layout.error(f"'{entry.path}' is a link to nothing, or no regular file")
        return True
    if suffix in _UNREADABLE or _looks_like_image(entry):
        raise layout.error(
            f"'{entry.path}' is an image whose name does not end with one of "
            f"{', '.join(SUFFIXES)}; convert or rename it, or remove it"
        )
    return False


def _images(folder: str, depth: int, layout: Layout) -> Iterator[str]:
    for entry in _entries(folder, layout):
        if _is_folder(entry):
            if depth:
                yield from _images(entry.path, depth - 1, layout)
            else:
                _check_folder(entry.path, layout)
        elif is_image(entry, layout):
            if depth:
                raise layout.error(f"'{entry.path}' is next to the folders, not in one of them")
            yield entry.path


def _check_folder(path: str, layout: Layout) -> None:
    """Refuse a folder among images that has an image's name, or contains images."""
    if os.path.splitext(path)[1].lower() in SUFFIXES:
        raise layout.error(f"'{path}' is a folder with the name of an image; rename or remove it")
    inside = next(_every_image(path, layout), None)
    if inside is not None:
        raise layout.error(
            f"the folder '{path}' holds images, such as '{inside}', where none are read; move "
            "them up or elsewhere"
        )


def _entries(folder: str, layout: Layout) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not _ignored(entry.name)]
    except OSError as error:
        raise layout.error(f"folder '{folder}' cannot be listed ({error.strerror})") from error


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM


def _every_image(folder: str, layout: Layout) -> Iterator[str]:
    """Yield all images by suffix or content, at any level.

    Links to folders are followed, after all other folders, and no folder is listed twice.
    """
    folders, links = [folder], list[str]()
    seen: set[str] = set()
    while folders or links:
        place = (folders or links).pop()
        real = os.path.realpath(place)
        if real in seen or not os.path.isdir(place):
            continue
        seen.add(real)
        for entry in _entries(place, layout):
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(entry.path)
            elif _suffix(entry) in (*SUFFIXES, *_UNREADABLE) or _looks_like_image(entry):
                yield entry.path


def _suffix(entry: os.DirEntry[str]) -> str:
    return os.path.splitext(entry.name)[1].lower()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circular link, or no permission
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _looks_like_image(entry: os.DirEntry[str]) -> bool:
    """Tell whether a regular file is an image, by its first bytes."""
    try:
        if not _is_file(entry):
            return False
        with open(entry.path, "rb") as file:
            start = file.read(12)
    except OSError:
        return False
    webp = start.startswith(b"RIFF") and start[8:] == b"WEBP"
    bmp = start.startswith(b"BM") and start[6:10] == bytes(4)
    return webp or bmp or start.startswith(_MAGIC)


class ListedFiles:
    """Image files below a folder, found by their names in the lists of a data set.

    A listed file is also found with another image suffix, in another case, or in another Unicode
    form.

    Args:
        folder: listed names are relative to it.
        layout: for errors.
    """

    def __init__(self, folder: str | Path, layout: Layout) -> None:
        self.folder, self.layout = str(folder), layout
        self._folders: dict[str, dict[str, list[str]]] = {}
        self._real_folders: dict[str, str] = {}
        self._listed: set[str] = set()

    def path(self, name: str, where: str) -> str:
        """Return the path of a listed file.

        With ``adv.job.quarantine`` a missing file keeps its listed path: the run then excludes and
        reports it.

        Args:
            name: relative to the folder, parts separated by ``/``.
            where: where it is listed, such as ``line 3 of 'list.txt'``.

        Raises:
            DataError: the file is missing or ambiguous, or the name leads elsewhere.
        """
        fault = name_fault(name)
        if fault:
            raise self.layout.error(f"{where} names '{name}', which {fault}")
        folder, base = posixpath.split(name)
        same = self._files(folder).get(_key(base), [])
        files = [base] if base in same else same
        if len(files) > 1:
            raise self.layout.error(
                f"{where} names '{name}', and there are {' and '.join(sorted(files))}; remove "
                "all but one"
            )
        if not files and not config.current().adv.job.quarantine:
            raise self.layout.error(
                f"{where} names '{name}', and '{self.folder}' has no such image file"
            )
        relative = posixpath.join(folder, files[0] if files else base)
        self._listed.add(relative)
        return f"{self.folder}/{relative}"

    def leave_out(self, name: str) -> None:
        """Mark a listed name that the layout excludes, so that it is not reported."""
        self._listed.add(name)

    def unlisted(self, below: Iterable[str] = ("",)) -> list[str]:
        """Return the paths of image files that were not asked for.

        Args:
            below: folders to look into, relative to the folder.
        """
        listed = {self._real(f"{self.folder}/{name}") for name in self._listed}
        places = [f"{self.folder}/{place}".rstrip("/") for place in below]
        images = (path for place in places for path in _every_image(place, self.layout))
        return sorted(path for path in images if self._real(path) not in listed)

    def visited(self) -> list[str]:
        """Return the folders in which listed files were searched."""
        return sorted(self._folders)

    def warn_of_unlisted(self, below: Iterable[str] = ("",)) -> None:
        """Warn of image files that no list names, which are not read."""
        left = self.unlisted(below)
        if left:
            names = ", ".join(f"'{printable(path)}'" for path in left[:_SHOWN])
            more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            warn(
                f"the lists of the data set '{self.layout.name}' do not name {len(left)} image "
                f"files, which are not read: {names}{more}",
            )

    def _real(self, path: str) -> str:
        """Return a path with links to folders resolved; the file itself may be a link."""
        folder, name = os.path.split(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        return f"{self._real_folders[folder]}/{name}"

    def _files(self, folder: str) -> dict[str, list[str]]:
        """Return the image files in a folder, by lookup key."""
        if folder not in self._folders:
            names: dict[str, list[str]] = {}
            place = f"{self.folder}/{folder}" if folder else self.folder
            for entry in _entries(place, self.layout) if os.path.isdir(place) else ():
                if entry.name.lower().endswith(SUFFIXES) and _is_file(entry):
                    names.setdefault(_key(entry.name), []).append(entry.name)
            self._folders[folder] = names
        return self._folders[folder]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", os.path.splitext(name)[0]).casefold()
