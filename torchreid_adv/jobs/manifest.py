"""The manifest of a stored data set: JSON lines, a header, one line per image, a footer.

A folder without a whole manifest is a run that did not end. The footer says how many images there
are, seals the lines before it, and holds the root of a hash tree over the images alone: two runs
have the same root if and only if they stored the same bytes under the same names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.errors import DataError
from torchreid_adv.jobs.files import write_text
from torchreid_adv.jobs.paths import name_fault

FILE_NAME = "manifest.jsonl"
RUN = "run.json"  # what makes a run the same run, in its folder
FORMAT = 2
SIDES = ("train", "query", "gallery")
OK = "ok"


@dataclass(frozen=True)
class Entry:
    """One stored image.

    Args:
        image_id: its name in the data set: split folder and path below it.
        source: the original file, relative to the data root where it lies below that.
        source_sha256: of that file.
        source_mode: of that file's pixels, as Pillow names it; what is stored is RGB.
        output: the stored file, relative to the manifest's folder.
        size: height and width in pixels.
        side: train, query or gallery.
        pid: identity, as the data set numbers it.
        camid: camera, from 0.
        attacked: whether the attack was run on it.
        linf: largest difference from the original, gray levels.
        changed: whether any pixel differs.
        sha256: of the stored file.
        status: ``ok``, or why the image was left out; then nothing of it is stored.
        modality: 0 visible, 1 infrared; None where the data set does not tell.
        tracklet: of a frame, the name of its tracklet.
        frame: its number there, from 0.
    """

    image_id: str
    source: str
    source_sha256: str
    source_mode: str
    output: str
    size: tuple[int, int]
    side: str
    pid: int
    camid: int
    attacked: bool
    linf: int
    changed: bool
    sha256: str
    status: str = OK
    modality: int | None = None
    tracklet: str = ""
    frame: int = 0

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Entry:
        """Return the entry that JSON holds."""
        return cls(**{**facts, "size": tuple(facts["size"])})

    def line(self) -> str:
        """Return it as JSON, without what does not apply to it."""
        absent = {"modality"} if self.modality is None else set()
        absent |= set() if self.tracklet else {"tracklet", "frame"}
        return _line({key: value for key, value in asdict(self).items() if key not in absent})


@dataclass(frozen=True)
class Manifest:
    """What a variant folder holds."""

    header: dict[str, Any]
    entries: tuple[Entry, ...]

    @property
    def stored(self) -> tuple[Entry, ...]:
        """The entries of images that are there."""
        return tuple(entry for entry in self.entries if entry.status == OK)

    @property
    def root(self) -> str:
        """Root of the hash tree over the images: their names, bytes and facts."""
        return hash_tree([entry.line().encode() for entry in self.entries])

    def write(self, folder: Path) -> Path:
        """Write ``manifest.jsonl`` into the folder, whole or not at all."""
        lines = [_line({"manifest": FORMAT, **self.header})]
        lines += [entry.line() for entry in self.entries]
        footer = {"images": len(self.entries), "root": self.root, "sha256": _digest(lines)}
        path = folder / FILE_NAME
        write_text(path, "\n".join([*lines, _line(footer)]) + "\n")
        return path

    def side(self, name: str) -> tuple[Entry, ...]:
        """Return the entries of one side's images that are there, in order."""
        return tuple(entry for entry in self.stored if entry.side == name)


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
        whole = (footer["images"], footer["sha256"]) == (len(lines) - 2, _digest(lines[:-1]))
        known = header.pop("manifest", None) == FORMAT
        entries = tuple(Entry.of(json.loads(line)) for line in lines[1:-1]) if known else ()
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(f"'{path}' is no manifest of ours, or is cut off: {error}") from error
    if not known:
        raise DataError(f"'{path}' is a manifest of another version; write the data set again")
    if not whole:
        raise DataError(f"'{path}' is cut off or was changed by hand; write the data set again")
    for entry in entries:
        fault = name_fault(entry.output)
        if fault or entry.side not in SIDES:
            raise DataError(f"'{path}' names a file that cannot be: {entry.output!r} {fault}")
    return Manifest(header, entries)


def sha256(content: bytes) -> str:
    """Return the hex SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def hash_tree(leaves: Sequence[bytes]) -> str:
    """Return the hex root of a binary SHA-256 tree, leaves and nodes told apart by a prefix.

    A node without a partner moves up a level as it is (as in RFC 6962).
    """
    level = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[-1:] if len(level) % 2 else []
        level = [hashlib.sha256(b"\1" + a + b).digest() for a, b in pairs] + odd
    return level[0].hex() if level else sha256(b"")


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)


def _digest(lines: list[str]) -> str:
    return sha256("\n".join(lines).encode())
