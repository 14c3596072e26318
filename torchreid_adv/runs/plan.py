"""Units of work, which are computed and stored together, and the ledger of finished units."""

from __future__ import annotations

import json
import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from torchreid_adv.core.batch import chunks
from torchreid_adv.core.files import flush_folder
from torchreid_adv.core.manifest import SIDES
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.errors import DiskError

COPIES = 64  # images of a unit that is only copied


@dataclass(frozen=True)
class WorkUnit:
    """Images, or tracklets, that are processed together.

    Args:
        number: place in the plan, from 0.
        side: of the data set.
        records: the images; the tracklets if these are attacked.
        attacked: whether they are attacked; otherwise they are copied.
    """

    number: int
    side: str
    records: tuple[Record, ...]
    attacked: bool

    @property
    def files(self) -> list[Record]:
        """The image files: of attacked tracklets, the frames that a test uses."""
        return [file for record in self.records for file in record.seen]

    def outputs(self) -> list[PurePosixPath]:
        """Return the paths of the images below the folder of the variant."""
        return [output_of(file.image_id) for file in self.files]


def plan(
    data: ReIDData, side: str, targets: Sequence[Record], chunk: int, *, copies: bool = True
) -> list[WorkUnit]:
    """Return all units of a variant: canonical chunks of the attacked images, then the others.

    For tracklets, the others are single frames, including unused frames of attacked tracklets.

    Args:
        data: the data set.
        side: whose images are attacked.
        targets: the images of that side to attack.
        chunk: images attacked together.
        copies: the other images belong to the variant, too.
    """
    attacked = {record.image_id for record in targets}
    groups = [(side, group, True) for group in chunks(targets, chunk)]
    for other in SIDES if copies else ():
        copied = [
            file
            for record in data.side(other)
            for file in record.files
            if other != side or record.image_id not in attacked or file not in record.seen
        ]
        groups += [(other, group, False) for group in chunks(copied, COPIES)]
    return [
        WorkUnit(number, where, tuple(group), attack)
        for number, (where, group, attack) in enumerate(groups)
    ]


def output_of(image_id: str) -> PurePosixPath:
    """Return the path of an image of a variant below its folder."""
    return PurePosixPath(image_id).with_suffix(".png")


MAGIC = b"adv1"
_HEAD = struct.Struct("<4sIIQ")  # magic, checksum of what follows, bytes of JSON, bytes of data
_SUFFIX = ".ledger"


@dataclass(frozen=True)
class Done:
    """A finished unit.

    Args:
        unit: its number in the plan.
        facts: its record.
        path: ledger file that holds its data.
        offset: of the data in the file.
        size: of the data in bytes.
    """

    unit: int
    facts: dict[str, Any]
    path: Path
    offset: int
    size: int

    def data(self, start: int = 0, size: int | None = None) -> bytes:
        """Return the bytes that were recorded with the unit, or ``size`` of them from ``start``."""
        with self.path.open("rb") as file:
            file.seek(self.offset + start)
            return file.read(self.size - start if size is None else size)


class Ledger:
    """The record of a job's finished units, below one folder that several processes share.

    Args:
        folder: made when the first record is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: BinaryIO | None = None

    def append(self, unit: int, facts: dict[str, Any], data: bytes = b"") -> None:
        """Record that a unit is done; the record is on disk when this returns.

        Raises:
            OSError: the disk is full or cannot be written.
            DiskError: the ledger was removed while this process wrote it.
        """
        text = json.dumps({"unit": unit, **facts}, sort_keys=True).encode()
        checksum = zlib.crc32(data, zlib.crc32(text))
        file = self._opened()
        file.write(_HEAD.pack(MAGIC, checksum, len(text), len(data)) + text + data)
        file.flush()
        os.fsync(file.fileno())
        if not os.fstat(file.fileno()).st_nlink:
            raise DiskError(
                f"'{file.name}', the record of finished work, was removed while this process wrote "
                "it; run the same command again"
            )

    def replay(self) -> dict[int, Done]:
        """Return every unit that any process has recorded, by its number."""
        units: dict[int, Done] = {}
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            for record in _records(path):
                units.setdefault(record.unit, record)
        return units

    def close(self) -> None:
        """Close this process's file; a later record opens a new one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
            self._file = path.open("xb")
            flush_folder(self.folder)
        return self._file


def _records(path: Path) -> Iterator[Done]:
    """Yield the records of a file up to the first incomplete one."""
    end = path.stat().st_size
    with path.open("rb") as file:
        while head := _head(file.read(_HEAD.size)):
            checksum, length, size = head
            offset = file.tell() + length
            if offset + size > end:
                return
            text = file.read(length)
            if zlib.crc32(file.read(size), zlib.crc32(text)) != checksum:
                return
            facts = json.loads(text)
            yield Done(facts.pop("unit"), facts, path, offset, size)


def _head(content: bytes) -> tuple[int, int, int] | None:
    if len(content) < _HEAD.size:
        return None
    magic, checksum, length, size = _HEAD.unpack(content)
    return (checksum, length, size) if magic == MAGIC else None
