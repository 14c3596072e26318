"""A stored variant as a list beside its images, which is a data set of its own.

The manifest proves what is stored; the list is for everything that reads tables.
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
    """Return the name of the list of a variant, such as ``market1501_adversarial.csv``."""
    kind = "corrupted" if "corruption" in manifest.header else "adversarial"
    name = f"{manifest.header.get('data', '')}_{kind}.csv"
    fits = "/" not in name and not name.startswith("_") and not name_fault(name)
    return name if fits else f"{kind}.csv"


def write_list(folder: Path, manifest: Manifest) -> Path | None:
    """Write the list of a variant into its folder, whole or not at all.

    Args:
        folder: that the images lie in.
        manifest: of the variant.

    Returns:
        the list; None where only one side was stored, which is no data set.
    """
    text = list_text(manifest)
    if text is None:
        return None
    path = folder / list_name(manifest)
    write_text(path, text)
    return path


def list_text(manifest: Manifest) -> str | None:
    """Return what the list of a variant says; None as :func:`write_list`."""
    if not (manifest.side("query") and manifest.side("gallery")):
        return None
    buffer = io.StringIO()
    columns = _columns(manifest)
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: row[name] for name in columns} for row in _rows(manifest))
    return buffer.getvalue()


def _columns(manifest: Manifest) -> list[str]:
    """Return the columns that say something of these images."""
    stored = manifest.stored
    told = {
        "modality": any(entry.modality is not None for entry in stored),
        "tracklet": any(entry.tracklet for entry in stored),
        "frame": any(entry.tracklet for entry in stored),
        "view": any(entry.view is not None for entry in stored),
        "clothes": any(entry.clothes for entry in stored),
        "protocol": bool(manifest.header.get("protocol")),
    }
    return ["path", "pid", "camid", "split", *(name for name, tells in told.items() if tells)]


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
    """Return the word that a number stands for; numbers below 0 get one, as lists have none."""
    words = names.get(kind) if isinstance(names, dict) else None
    if isinstance(words, list) and 0 <= number < len(words):
        return str(words[number])
    if kind == "train":  # labels from 0, which are not the numbers of the test
        return f"train-{number:06d}"
    return str(number) if number >= 0 else f"minus {-number}"
