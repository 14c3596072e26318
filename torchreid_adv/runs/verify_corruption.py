"""Corrupted images, computed again from their originals and compared byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import inside
from torchreid_adv.core.manifest import Entry, Manifest
from torchreid_adv.data.images import read_pixels
from torchreid_adv.data.records import Record
from torchreid_adv.errors import ConfigError, DataError
from torchreid_adv.runs.file_corruption import FileCorruption, people_of
from torchreid_adv.runs.originals import DataFiles

SAME = "Every corrupted image was computed again from its original and is identical."


@dataclass(frozen=True)
class CorruptedAgain:
    """Compares stored corrupted images with new ones made from their originals.

    Args:
        corruption: in the manifest.
        files: records of the originals by their names.
    """

    corruption: FileCorruption
    files: dict[str, tuple[str, Record]]

    @classmethod
    def of(cls, manifest: Manifest, known: DataFiles | None) -> CorruptedAgain | None:
        """Return the check of a manifest; None without corruption or without a known data set.

        Raises:
            DataError: the manifest names a corruption that this version does not have.
        """
        facts = manifest.header.get("corruption")
        if facts is None or known is None:
            return None
        corruption = told_corruption(facts, people_of(known.data.gallery))
        return cls(corruption, known.files)

    def fault(self, folder: Path, entry: Entry) -> str:
        """Return the fault of an image, "" if the corrupted original is identical to it."""
        record = self.files[entry.image_id][1]
        original = read_pixels(record.path)
        if entry.corruption != self.corruption.label(original):
            label = self.corruption.label(original)
            return f"its corruption is {label}, the manifest says {entry.corruption}"
        stored = read_pixels(inside(folder, entry.output))
        if (self.corruption(record, original) != stored).any():
            return f"differs from its original after '{entry.corruption}'"
        return ""


def told_corruption(facts: Any, others: tuple[Record, ...]) -> FileCorruption:
    """Return the corruption that a manifest describes.

    Args:
        facts: see :meth:`FileCorruption.facts`.
        others: see :class:`FileCorruption`.

    Raises:
        DataError: the facts describe no corruption, or one of another version.
    """
    try:
        told = FileCorruption(
            kinds=tuple(facts["kinds"]),
            severity=facts["severity"],
            draw=facts["draw"],
            scale=facts["scale"],
            others=others,
        )
    except (ConfigError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"the manifest names a corruption that is unknown here: {error}") from error
    if {name: facts.get(name) for name in told.facts()} != told.facts():
        raise DataError(
            f"the manifest names corruptions of another version ({facts.get('version')!r}), "
            "which cannot be computed here; write the data set again"
        )
    return told
