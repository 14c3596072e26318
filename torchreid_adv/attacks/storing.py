"""How an image of a variant is stored, and what its manifest says of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from torchreid_adv.attacks.units import Unit, output_of
from torchreid_adv.data.datasets import Record
from torchreid_adv.data.images import FORMATS, encode_png
from torchreid_adv.jobs.files import write_together
from torchreid_adv.jobs.ledger import Ledger
from torchreid_adv.jobs.manifest import LEFT_OUT, Entry, sha256


@dataclass(frozen=True)
class Result:
    """A unit that was computed.

    Args:
        unit: the unit.
        clean: original pixels of its image files, uint8 arrays (h, w, 3).
        images: pixels to store, the same.
        facts: for the ledger.
        features: of the images before they were rounded to whole levels, see ``kept_features``.
    """

    unit: Unit
    clean: Sequence[np.ndarray]
    images: Sequence[np.ndarray]
    facts: dict[str, Any]
    features: bytes = b""

    def store(self, root: Path, folder: Path, scratch: Path, ledger: Ledger) -> None:
        """Bring the images to disk, then record them.

        Args:
            root: data root, which sources are named relative to.
            folder: of the variant.
            scratch: folder for unfinished files.
            ledger: where it is recorded.
        """
        images = zip(self.unit.files, self.clean, self.images, strict=True)
        made = [_stored(self.unit, record, root, *pair) for record, *pair in images]
        write_together({folder / entry.output: content for entry, content in made}, folder, scratch)
        facts = {**self.facts, "entries": [vars(entry) for entry, _ in made]}
        ledger.append(self.unit.number, facts, self.features)


def _stored(
    unit: Unit, record: Record, root: Path, clean: np.ndarray, image: np.ndarray
) -> tuple[Entry, bytes]:
    """Return the entry of an image and the PNG file that is stored."""
    linf = int((np.maximum(image, clean) - np.minimum(image, clean)).max())
    content, source = encode_png(image), record.path.read_bytes()
    with Image.open(io.BytesIO(source), formats=FORMATS) as header:
        mode = header.mode
    entry = Entry(
        image_id=record.image_id,
        source=source_of(record.path, root),
        source_sha256=sha256(source),
        source_mode=mode,
        output=str(output_of(record.image_id)),
        size=(image.shape[0], image.shape[1]),
        side=unit.side,
        pid=record.pid,
        camid=record.camid,
        attacked=unit.attacked,
        linf=linf,
        changed=linf > 0,
        sha256=sha256(content),
        modality=record.modality,
        tracklet=record.tracklet,
        frame=record.number,
    )
    return entry, content


def left_out(record: Record, side: str, root: Path, reason: str) -> Entry:
    """Return the entry of an image that is bad, and of which nothing is stored."""
    return Entry(
        image_id=record.image_id,
        source=source_of(record.path, root),
        source_sha256="",
        source_mode="",
        output=str(output_of(record.image_id)),
        size=(0, 0),
        side=side,
        pid=record.pid,
        camid=record.camid,
        attacked=False,
        linf=0,
        changed=False,
        sha256="",
        status=f"{LEFT_OUT}{reason}",
        modality=record.modality,
        tracklet=record.tracklet,
        frame=record.number,
    )


def source_of(path: Path, root: Path) -> str:
    """Return a source file's name, relative to the data root where it lies below that.

    Folders below the root may be symbolic links: the name is the one that the data set uses.
    """
    pairs = (root.absolute(), path.absolute()), (root.resolve(), path.resolve())
    for base, file in pairs:
        if file.is_relative_to(base):
            return file.relative_to(base).as_posix()
    return path.as_posix()
