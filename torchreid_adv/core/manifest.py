"""The manifest of a stored data set: JSON lines, a header, one line per image, a footer.

A folder without a complete manifest is an unfinished run. The footer holds the number of images, a
seal of the lines before it, and the root of a hash tree over the images alone: two runs have the
same root if and only if they stored the same bytes under the same names.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeGuard

from torchreid_adv.core.files import inside, name_fault, write_text
from torchreid_adv.core.untrusted import open_regular, parse_json
from torchreid_adv.errors import DataError, printable

FILE_NAME = "manifest.jsonl"
RUN = "run.json"  # the identity of the run, in its folder
FORMAT = 2
SIDES = ("train", "query", "gallery")
OK = "ok"
LEFT_OUT = "left out: "  # beginning of the status of an image that is not stored
_OPTIONAL = ("clothes", "view", "corruption")  # left out of a line where there is none
LARGEST = 512 * 2**20  # bytes of a manifest, about a million images
LONGEST = 64 * 2**10  # bytes of one line


@dataclass(frozen=True)
class Entry:
    """One stored image.

    Args:
        image_id: its name in the data set: split folder and path below it.
        source: the original file, relative to the data root if it is below that.
        source_sha256: SHA-256 of the original file.
        source_mode: Pillow's mode of the original file; the stored file is RGB.
        output: the stored file, relative to the manifest's folder.
        size: height and width in pixels.
        side: train, query or gallery.
        pid: identity, as the data set numbers it.
        camid: camera, from 0.
        attacked: whether the image was attacked.
        linf: largest difference from the original, gray levels.
        changed: whether any pixel differs.
        sha256: SHA-256 of the stored file.
        status: ``ok``, or why the image was left out; nothing is stored for it then.
        modality: 0 visible, 1 infrared; None where the data set does not say.
        tracklet: name of the frame's tracklet; only for frames.
        frame: number of the frame in its tracklet, from 0.
        clothes: what the person wears, "" where the data set does not say.
        view: number of the side or height that the camera looks from; None where the data set
            does not say.
        corruption: kind and severity of the corruption (``fog 3``), "" for none.
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
    clothes: str = ""
    view: int | None = None
    corruption: str = ""

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Entry:
        """Build an entry from its JSON object."""
        return cls(**{**facts, "size": tuple(facts["size"])})

    def line(self) -> str:
        """Return the entry as JSON, without the fields that do not apply."""
        absent = {"modality"} if self.modality is None else set()
        absent |= set() if self.tracklet else {"tracklet", "frame"}
        absent |= {n for n in _OPTIONAL if getattr(self, n) in ("", None)}
        return _line({key: value for key, value in asdict(self).items() if key not in absent})


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest."""

    header: dict[str, Any]
    entries: tuple[Entry, ...]

    @property
    def stored(self) -> tuple[Entry, ...]:
        """The entries of the stored images."""
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
        """Return the stored entries of one side, in order."""
        return tuple(entry for entry in self.stored if entry.side == name)


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's manifest and check that it is complete.

    Raises:
        DataError: it is missing, cut off or changed by hand, or it has a line that is not an entry,
            or a path that leaves the folder.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise DataError(
            f"'{folder}' holds no {FILE_NAME}: no finished adversarial data set is there; "
            "give the folder that attack-gallery wrote (.../<data set>/adversarial)"
        )
    try:
        header, rows, footer, digest = _parsed(inside(folder, FILE_NAME))
    except (ValueError, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"'{path}' is not a manifest of this package, or is cut off: {error}"
        ) from error
    if header.pop("manifest", None) != FORMAT:
        raise DataError(f"'{path}' is a manifest of another version; write the data set again")
    for number, row in enumerate(rows, start=2):
        fault = next(_entry_faults(row), "")
        if fault:
            raise DataError(
                f"'{path}' is not a manifest of this package: in line {number}, {fault}"
            )
    manifest = Manifest(header, tuple(map(Entry.of, rows)))
    if footer != {"images": len(rows), "root": manifest.root, "sha256": digest}:
        raise DataError(f"'{path}' is cut off or was changed by hand; write the data set again")
    return manifest


def _parsed(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any], str]:
    """Return header, entries, footer, and the hash of all lines but the last."""
    objects, digest, last = [], hashlib.sha256(), b""
    for number, line in enumerate(_lines(path)):
        if number:
            digest.update(b"\n" * (number > 1) + last)
        value = parse_json(line)
        if not isinstance(value, dict):
            raise ValueError(f"line {number + 1} is not a JSON object")
        objects.append(value)
        last = line
    if len(objects) < 2:
        raise ValueError("it has no footer")
    header, *rows, footer = objects
    return header, rows, footer, digest.hexdigest()


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file; an over-long line is an error."""
    with open_regular(path, LARGEST) as file:
        while line := file.readline(LONGEST + 1):
            if len(line) > LONGEST:
                raise ValueError(f"a line has more than {LONGEST} bytes")
            if not line.endswith(b"\n"):
                raise ValueError("its last line does not end")
            yield line[:-1]


def is_count(value: Any) -> bool:
    """Tell whether a value from JSON is an integer, 0 or more."""
    return type(value) is int and value >= 0


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a value from JSON is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def is_digest(value: Any) -> bool:
    """Tell whether a value from JSON is a SHA-256 in lower-case hex digits."""
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_count, value))


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "image_id": (_is_text, "a name"),
    "source": (_is_text, "a name"),
    "source_sha256": (_is_text, "a hash"),
    "source_mode": (_is_text, "a mode"),
    "output": (_is_text, "a name"),
    "size": (_is_size, "height and width"),
    "side": (lambda value: value in SIDES, f"one of {', '.join(SIDES)}"),
    "pid": (lambda value: type(value) is int, "an integer"),
    "camid": (is_count, "an integer, 0 or more"),
    "attacked": (lambda value: isinstance(value, bool), "true or false"),
    "linf": (is_count, "an integer, 0 or more"),
    "changed": (lambda value: isinstance(value, bool), "true or false"),
    "sha256": (_is_text, "a hash"),
    "status": (_is_text, "a status"),
    "modality": (lambda value: type(value) is int and value in (0, 1), "0 or 1"),
    "tracklet": (lambda value: _is_text(value) and bool(value), "a name"),
    "frame": (is_count, "an integer, 0 or more"),
    "clothes": (lambda value: _is_text(value) and bool(value), "a name"),
    "view": (is_count, "an integer, 0 or more"),
    "corruption": (lambda value: _is_text(value) and bool(value), "a kind and a severity"),
}


def _entry_faults(row: dict[str, Any]) -> Iterator[str]:
    """Yield why a JSON object is not an entry."""
    unknown = next((key for key in row if key not in _FIELDS), None)
    if unknown is not None:
        yield f"there is an unknown field '{printable(unknown[:80])}'"
    needed = [field.name for field in fields(Entry) if field.default is MISSING]
    for name, (test, expected) in _FIELDS.items():
        if name not in row and name in needed:
            yield f"'{name}' is missing"
        elif name in row and not test(row[name]):
            yield f"'{name}' has to be {expected}"
    if row.get("status", OK) == OK:
        yield from _stored_faults(row)
    elif not row["status"].startswith(LEFT_OUT):
        yield f"the status is neither '{OK}' nor '{LEFT_OUT}...'"
    elif row["sha256"] or row["source_sha256"] or row["attacked"] or row["changed"] or row["linf"]:
        yield "an image that was left out has hashes or was attacked"


def _stored_faults(row: dict[str, Any]) -> Iterator[str]:
    for name in ("image_id", "output"):
        fault = name_fault(row[name])
        if fault:
            yield f"a name cannot be: {printable(row[name][:80])!r} {fault}"
    for name in ("sha256", "source_sha256"):
        if not is_digest(row[name]):
            yield f"'{name}' has to be 64 hex digits"
    if not all(row["size"]):
        yield "an image has no pixels"


def sha256(content: bytes) -> str:
    """Return the hex SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def hash_tree(leaves: Sequence[bytes]) -> str:
    """Return the hex root of a binary SHA-256 tree; prefixes separate leaves from nodes.

    A node without a partner moves up a level unchanged, as in RFC 6962.
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
