"""The cache of results. A result is found only by everything that decides it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.core.facts import facts_of
from torchreid_adv.core.files import flush_folder, removed_after, sweep, unfinished_name, write_text
from torchreid_adv.core.lock import making
from torchreid_adv.core.provenance import FIELD, provenance, without
from torchreid_adv.errors import ConfigError

FORMAT = 1  # version of stored results; other versions are ignored
KEY = "key.json"  # in a cached folder, next to its content
RUN = "run.json"  # in the folder of a run
_SHORT = 16  # hex digits of a key's hash in a name; the facts are compared in full
_SHOWN = 3  # facts shown in an error
_LONG = 48  # characters of a value in an error


@dataclass(frozen=True)
class Key:
    """Everything that decides a result, as plain values of the objects involved.

    Args:
        facts: name -> plain value; see :meth:`of`.
    """

    facts: Mapping[str, Any]

    @classmethod
    def of(cls, **objects: Any) -> Key:
        """Return the key of some objects, each described by :func:`facts_of`."""
        return cls(_plain({"format": FORMAT, **{k: facts_of(v) for k, v in objects.items()}}))

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the facts, hex."""
        return hashlib.sha256(_text(self.facts).encode()).hexdigest()

    @property
    def text(self) -> str:
        """The facts as readable JSON."""
        return json.dumps(self.facts, indent=1, sort_keys=True) + "\n"

    def difference(self, stored: Any) -> str:
        """Say which facts differ from stored ones, the first few with both values; "" for none."""
        if not isinstance(stored, dict) or not stored:
            return "it cannot be read"
        stored = without(stored)
        if _text(stored) == _text(self.facts):
            return ""
        if stored.get("format") != FORMAT:
            return "an earlier version wrote it, which did not record all that decides a result"
        old, new = dict(_leaves(stored)), dict(_leaves(self.facts))
        names = [name for name in sorted({*old, *new}) if _shown(name, old) != _shown(name, new)]
        differences = [
            f"{n} {_cut(_shown(n, old))} there, {_cut(_shown(n, new))} here" for n in names[:_SHOWN]
        ]
        more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return "; ".join(differences) + more


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
        plain: dict[str, Any] = _plain(value)
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
            write_text(unfinished / KEY, key.text)
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
            content = {**key.facts, FIELD: origin.facts()}
            write_text(self.root / RUN, json.dumps(content, indent=1, sort_keys=True) + "\n")

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


def _text(facts: Any) -> str:
    return json.dumps(facts, sort_keys=True)


def _plain(value: Any) -> Any:
    """Return values as JSON returns them."""
    return json.loads(json.dumps(value))


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


def _leaves(value: Any, name: str = "") -> Any:
    """Yield dotted names and values of nested facts."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else key)
    else:
        yield name, value


def _shown(name: str, facts: dict[str, Any]) -> str:
    if name not in facts:
        return "not set"
    return repr(facts[name])


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."
