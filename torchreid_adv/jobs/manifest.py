"""The manifest of a stored data set: JSON lines, a header, one line per image, a footer.

A folder without a whole manifest is a run that did not end; the footer says how many images there
are and seals the lines before it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from torchreid_adv.errors import DataError
from torchreid_adv.jobs.files import write_text

FILE_NAME = "manifest.jsonl"
FORMAT = 1
SIDES = ("train", "query", "gallery")


@dataclass(frozen=True)
class Entry:
    """One stored image.

    Args:
        image_id: its name in the data set: split folder and path below it.
        source: the original file, relative to the data root where it lies below that.
        output: the stored file, relative to the manifest's folder.
        side: train, query or gallery.
        pid: identity, as the data set numbers it.
        camid: camera, from 0.
        attacked: whether the attack was run on it.
        linf: largest difference from the original, gray levels.
        changed: whether any pixel differs.
        sha256: of the stored file.
        status: ``ok``.
    """

    image_id: str
    source: str
    output: str
    side: str
    pid: int
    camid: int
    attacked: bool
    linf: int
    changed: bool
    sha256: str
    status: str = "ok"


@dataclass(frozen=True)
class Manifest:
    """What a variant folder holds."""

    header: dict[str, Any]
    entries: tuple[Entry, ...]

    def write(self, folder: Path) -> Path:
        """Write ``manifest.jsonl`` into the folder, whole or not at all."""
        lines = [_line({"manifest": FORMAT, **self.header})]
        lines += [_line(asdict(entry)) for entry in self.entries]
        footer = {"images": len(self.entries), "sha256": _digest(lines)}
        path = folder / FILE_NAME
        write_text(path, "\n".join([*lines, _line(footer)]) + "\n")
        return path

    def side(self, name: str) -> tuple[Entry, ...]:
        """Return the entries of one side, in order."""
        return tuple(entry for entry in self.entries if entry.side == name)


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's manifest and check that it is whole.

    Raises:
        DataError: none there, cut off, changed by hand, or a path that leaves the folder.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise DataError(
            f"'{folder}' holds no {FILE_NAME}: no finished adversarial data set is there; "
            "give the folder that attack-gallery wrote (.../<data set>/adversarial)"
        )
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        header, footer = json.loads(lines[0]), json.loads(lines[-1])
        whole = footer == {"images": len(lines) - 2, "sha256": _digest(lines[:-1])}
        known = header.pop("manifest", None) == FORMAT
        entries = tuple(Entry(**json.loads(line)) for line in lines[1:-1])
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise DataError(f"'{path}' is no manifest of ours, or is cut off: {error}") from error
    if not (whole and known):
        raise DataError(f"'{path}' is cut off or was changed by hand; write the data set again")
    for entry in entries:
        if not _inside(entry.output) or entry.side not in SIDES:
            raise DataError(f"'{path}' names a file outside of its folder: {entry.output!r}")
    return Manifest(header, entries)


def sha256(content: bytes) -> str:
    """Return the hex SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)


def _digest(lines: list[str]) -> str:
    return sha256("\n".join(lines).encode())


def _inside(output: str) -> bool:
    path = PurePosixPath(output)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in output
