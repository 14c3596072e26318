"""Facts that identify a data set, including the contents of its image files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torchreid_adv.core.cache import read_json
from torchreid_adv.core.contents import Contents
from torchreid_adv.core.facts import facts_of
from torchreid_adv.core.manifest import SIDES
from torchreid_adv.data.datasets import ReIDData, open_dataset
from torchreid_adv.data.records import Record
from torchreid_adv.errors import DataError

_PLACE = ("path", "frames")  # fields with locations, or that are described separately
_LATER = {"clothes": "", "view": None}  # counts only if given, so older notes stay valid


def data_facts(data: ReIDData, contents: Contents) -> dict[str, Any]:
    """Return what identifies a data set: its name and a hash of each side.

    Everything in a record counts, including the contents of its files, except its location.

    Args:
        data: the data set.
        contents: hashes the files.
    """
    sides = {side: digest_of_records(data.side(side), contents) for side in SIDES}
    return {"name": data.name, **sides}


def digest_of_records(records: Sequence[Record], contents: Contents) -> str:
    """Return a hash of images or tracklets with their labels and contents, in order."""
    return _digest([_described(record, contents) for record in records])


def image_facts(records: Sequence[Record], contents: Contents) -> dict[str, list[Any]]:
    """Return image_id -> [pid, camid, SHA-256 of the file] of some image files."""
    digests = contents.of(record.path for record in records)
    return {r.image_id: [r.pid, r.camid, d] for r, d in zip(records, digests, strict=True)}


def changed_image(old: dict[str, list[Any]], new: dict[str, list[Any]]) -> str:
    """Return which image differs between two results of :func:`image_facts`, "" for none."""
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    if not names:
        return ""
    first, more = names[0], f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    if first not in new:
        return f"'{first}' is gone{more}"
    if first not in old:
        return f"'{first}' is new{more}"
    if old[first][2] == new[first][2]:
        return f"'{first}' has another identity or camera{more}"
    return f"'{first}' was replaced or changed{more}"


def noted_images(path: Path, data: ReIDData, contents: Contents, out: Path) -> dict[str, Any]:
    """Return the note that a run made of its images at its start; {} if it made none.

    Args:
        path: path of the note.
        data: the current data set.
        contents: hashes the files.
        out: folder of the run, for errors.

    Raises:
        DataError: the images are not those that the run began with.
    """
    noted = read_json(path)
    current = note_of(data, contents) if noted else {}
    if any(noted.get(name) != value for name, value in current.items()):
        change = changed_image(noted.get("images", {}), current["images"])
        raise DataError(
            f"the images of '{data.name}' are not those that the run in '{out}' began with: "
            f"{change or 'they are grouped or labeled in another way'}; put them back, or choose "
            "another data.save_dir"
        )
    return noted


def note_of(data: ReIDData, contents: Contents) -> dict[str, Any]:
    """Return the note of a run's images."""
    return {"data": data_facts(data, contents), "images": image_facts(data.files(), contents)}


def training_facts(
    name: str, root: str | Path, contents: Contents, *, combineall: bool = False, **options: Any
) -> dict[str, Any]:
    """Return what identifies a training set: its name and a hash.

    What is hashed of a side is each item's labels, its files' contents, and their names below the
    folder that holds them all. The place of that folder does not count: one for virtual people is
    named after everything that was rendered, test people included.

    Args:
        name: name of the data set.
        root: data root.
        contents: hashes the files.
        combineall: also train on query and gallery.
        options: options of the data set, see :func:`load_dataset`.

    Raises:
        ConfigError: the name is unknown.
        DataError: the data set is missing or cannot be read.
    """
    dataset, sides = open_dataset(name, root, **options), SIDES if combineall else ("train",)
    rows = {side: list(_rows(getattr(dataset, side), contents)) for side in sides}
    return {"name": name, **{side: _digest(side_rows) for side, side_rows in rows.items()}}


def _rows(items: Sequence[Any], contents: Contents) -> Iterator[Any]:
    """Yield torchreid's tuples (path or paths, pid, camid...) with names below their folder."""
    firsts = [[first] if isinstance(first, str) else first for first, *_ in items]
    files = [[os.path.abspath(path) for path in paths] for paths in firsts]
    folder = os.path.commonpath(
        [os.path.dirname(path) for paths in files for path in paths] or [os.sep]
    )
    for paths, (_, *labels) in zip(files, items, strict=True):
        names = [os.path.relpath(path, folder) for path in paths]
        yield [names, contents.of(paths), facts_of(labels)]


def _described(record: Record, contents: Contents) -> Any:
    labels = {
        field.name: facts_of(getattr(record, field.name))
        for field in dataclasses.fields(record)
        if field.name not in _PLACE
        and (field.name not in _LATER or getattr(record, field.name) != _LATER[field.name])
    }
    if record.frames:
        return [labels, [_described(frame, contents) for frame in record.frames]]
    return [labels, *contents.of([record.path])]


def _digest(rows: Any) -> str:
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
