"""A list next to stored images, which makes them a data set that any command can read.

The manifest proves the content of the stored files; the list is for programs that read tables.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import name_fault, write_text
from torchreid_adv.core.manifest import Manifest
from torchreid_adv.data.cross_modality.modality import VISIBLE

_MODALITY = ("rgb", "ir")


def list_name(manifest: Manifest) -> str:
    """Return the name of the list of stored images, such as ``market1501_adversarial.csv``."""
    kind = "corrupted" if "corruption" in manifest.header else "adversarial"
    name = f"{manifest.header.get('data', '')}_{kind}.csv"
    fits = "/" not in name and not name.startswith("_") and not name_fault(name)
    return name if fits else f"{kind}.csv"


def write_list(folder: Path, manifest: Manifest) -> Path | None:
    """Write the list of stored images into their folder, atomically.

    Args:
        folder: folder of the images.
        manifest: their manifest.

    Returns:
        the list; None if only one side was stored, which is not a data set.
    """
    text = list_text(manifest)
    if text is None:
        return None
    path = folder / list_name(manifest)
    write_text(path, text)
    return path


def list_text(manifest: Manifest) -> str | None:
    """Return the content of the list of stored images; None as in :func:`write_list`."""
    if not (manifest.side("query") and manifest.side("gallery")):
        return None
    buffer = io.StringIO()
    columns = _columns(manifest)
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: row[name] for name in columns} for row in _rows(manifest))
    return buffer.getvalue()


def _columns(manifest: Manifest) -> list[str]:
    """Return the columns that have content for these images."""
    stored = manifest.stored
    has_values = {
        "modality": any(entry.modality is not None for entry in stored),
        "tracklet": any(entry.tracklet for entry in stored),
        "frame": any(entry.tracklet for entry in stored),
        "view": any(entry.view is not None for entry in stored),
        "clothes": any(entry.clothes for entry in stored),
        "protocol": bool(manifest.header.get("protocol")),
    }
    return ["path", "pid", "camid", "split", *(name for name, tells in has_values.items() if tells)]


def _rows(manifest: Manifest) -> Iterator[dict[str, Any]]:
    names = manifest.header.get("names", {})
    for entry in manifest.stored:
        yield {
            "path": entry.output,
            "pid": _word(names, "train" if entry.side == "train" else "test", entry.pid),
            "camid": _word(names, "camera", entry.camid),
            "split": entry.side,
            "modality": _MODALITY[VISIBLE if entry.modality is None else entry.modality],
            "tracklet": entry.tracklet,
            "frame": entry.frame,
            "view": "" if entry.view is None else _word(names, "view", entry.view),
            "clothes": entry.clothes,
            "protocol": manifest.header.get("protocol", ""),
        }


def _word(names: Any, kind: str, number: int) -> str:
    """Return the name that a number stands for; negative numbers get one, as lists need it."""
    words = names.get(kind) if isinstance(names, dict) else None
    if isinstance(words, list) and 0 <= number < len(words):
        return str(words[number])
    if kind == "train":  # labels from 0, unrelated to test numbers
        return f"train-{number:06d}"
    return str(number) if number >= 0 else f"minus {-number}"
