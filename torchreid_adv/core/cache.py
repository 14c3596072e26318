"""The cache of results. A result is found only by everything that decides it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torchreid_adv.core.facts import Key, as_json
from torchreid_adv.core.files import flush_folder, removed_after, sweep, unfinished_name, write_text
from torchreid_adv.core.lock import making
from torchreid_adv.core.manifest import RUN
from torchreid_adv.core.provenance import FIELD, provenance
from torchreid_adv.errors import ConfigError

KEY = "key.json"  # in a cached folder, next to its content
_SHORT = 16  # hex digits of a key's hash in a name; the facts are compared in full


class Cache:
    """A folder of results, each stored whole under everything that decides it.

    Args:
        root: the folder; created with the first result.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def json(self, name: str, key: Key, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the stored result, or compute and store it.

        Args:
            name: the beginning of the file name; "" = only the hash.
            key: everything that decides the result.
            compute: returns plain values.

        Raises:
            ConfigError: a file of that name holds something else; it is left unchanged.
        """
        stored = self.find(name, key)
        return self.put(name, key, compute()) if stored is None else stored

    def put(self, name: str, key: Key, value: dict[str, Any]) -> dict[str, Any]:
        """Store a result, replacing one with the same key, and return it."""
        plain: dict[str, Any] = as_json(value)
        content = {"key": key.facts, "value": plain}
        write_text(self._path(name, key, ".json"), json.dumps(content, indent=1) + "\n")
        return plain

    def find(self, name: str, key: Key) -> dict[str, Any] | None:
        """Return the stored result, or None; arguments and errors as in :meth:`json`."""
        path = self._path(name, key, ".json")
        content = read_json(path)
        if not content:  # missing or cut off
            return None
        _same(path, key, content.get("key"))
        value: dict[str, Any] = content["value"]
        return value

    def folder(self, name: str, key: Key, make: Callable[[Path], Any]) -> Path:
        """Return the stored folder, or make and store it.

        It is renamed into place when it is complete and on disk. If two processes want the same
        folder, the second one waits for the first and uses its result.

        Args:
            name: the beginning of the folder name.
            key: everything that decides the content; stored in the folder as ``key.json``.
            make: fills an empty folder.

        Raises:
            ConfigError: a folder of that name holds something else; it is left unchanged.
        """
        path = self.path(name, key)
        if path.exists():
            sweep(path.parent, path.name)  # a killed process may have left its lock
            return self._checked(path, key)
        with making(path):
            if not path.exists():  # else another process made it meanwhile
                self._make(path, key, make)
        return self._checked(path, key)

    def _make(self, path: Path, key: Key, make: Callable[[Path], Any]) -> None:
        unfinished = path.with_name(unfinished_name(path.name))
        with removed_after(unfinished):
            unfinished.mkdir()
            make(unfinished)
            write_text(unfinished / KEY, key.record())
            _flush(unfinished)
            _into_place(unfinished, path)

    def path(self, name: str, key: Key) -> Path:
        """Return the path of a stored folder, whether it exists or not."""
        return self._path(name, key, "")

    def check(self, key: Key) -> bool:
        """Tell whether the folder belongs to this run; False if it belongs to no run yet.

        Raises:
            ConfigError: it belongs to another run; the error names the facts that differ.
        """
        path = self.root / RUN
        if not path.exists():
            return False
        difference = key.difference(read_json(path))
        if difference:
            raise ConfigError(
                f"'{path}' belongs to another run ({difference}); choose another data.save_dir or "
                "remove it"
            )
        return True

    def claim(self, key: Key) -> None:
        """Mark the folder as this run's, in ``run.json``; the same run may continue there later.

        Raises:
            ConfigError: as in :meth:`check`.
        """
        if not self.check(key):
            origin = provenance(key.facts.get("device"))
            write_text(self.root / RUN, key.record(**{FIELD: origin.facts()}))

    def _checked(self, path: Path, key: Key) -> Path:
        _same(path, key, read_json(path / KEY))
        return path

    def _path(self, name: str, key: Key, suffix: str) -> Path:
        return self.root / f"{name}{'-' if name else ''}{key.digest[:_SHORT]}{suffix}"


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; {} if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _same(path: Path, key: Key, stored: Any) -> None:
    difference = key.difference(stored)
    if difference:
        raise ConfigError(f"'{path}' is not what its name says ({difference}); remove it")


def _into_place(unfinished: Path, path: Path) -> None:
    try:
        os.replace(unfinished, path)
    except OSError:
        if not path.exists():  # else another process made it first
            raise
    flush_folder(path.parent)


def _flush(folder: Path) -> None:
    """Flush all files of a folder to disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDWR)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
