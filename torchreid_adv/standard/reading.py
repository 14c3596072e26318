"""``standard.json`` read back: a result of ours, whole and consistent, or a sentence why not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.errors import DataError
from torchreid_adv.jobs.manifest import sha256
from torchreid_adv.pixels import LEVELS

SCHEMA = 1
RESULT = "standard.json"
SEAL = "sha256"  # of all the rest
LARGEST = 64 * 2**20  # bytes; a result has thousands of times fewer
_HASH = 64  # hex digits

Test = Callable[[Any], bool]


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Return a result with the hash of its content, which tells a change by hand."""
    rest = {key: value for key, value in content.items() if key != SEAL}
    plain = json.dumps(json.loads(json.dumps(rest)), sort_keys=True)
    return {**rest, SEAL: sha256(plain.encode())}


def read_result(path: Path) -> dict[str, Any]:
    """Read a ``standard.json``.

    Raises:
        DataError: it cannot be read, is no result, one of a newer version, or was changed by hand.
    """
    found = _parsed(path)
    if not isinstance(found, dict) or type(found.get("schema")) is not int:
        raise DataError(f"'{path}' is no result of torchreid-adv standard: it lacks its schema")
    if found["schema"] > SCHEMA:
        raise DataError(
            f"'{path}' was written by a newer version (schema {found['schema']}, this one reads "
            f"{SCHEMA}); update torchreid_adv"
        )
    fault = next(_faults(found), "")
    if fault:
        raise DataError(f"'{path}' is no result of torchreid-adv standard: {fault}")
    fault = next(_contradictions(found), "")
    if not fault and sealed(found)[SEAL] != found[SEAL]:
        fault = "its content does not fit its own hash"
    if fault:
        raise DataError(
            f"'{path}' was changed by hand or by another program: {fault}; run the same "
            "torchreid-adv standard once more to write it again"
        )
    return found


def manifest_hash(tracks: dict[str, dict[str, Any]]) -> str:
    """Return the hash over the manifests of all tracks and bounds."""
    roots = [f"{t}-eps{e} {facts['manifest']}" for t in tracks for e, facts in tracks[t].items()]
    return sha256("\n".join(roots).encode())


def _parsed(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise DataError(f"'{path}' has more than {LARGEST} bytes, and no result has")
        return json.loads(content.decode("utf-8"), parse_constant=_refused)
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"'{path}' cannot be read as JSON: {error}") from error


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _digest(value: Any) -> bool:
    return _text(value) and len(value) == _HASH and set(value) <= set("0123456789abcdef")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_share, value))


def _count(value: Any) -> bool:
    return value is None or (type(value) is int and value >= 0)


def _defense(value: Any) -> bool:
    if value is None:
        return True
    rows = ("undefended", "oblivious", "adaptive")
    return isinstance(value, dict) and all(_share(value.get(row)) for row in rows)


_TOP: dict[str, Test] = {
    "version": _text,
    "model.name": _text,
    "model.sha256": _digest,
    "model.parameters": _count,
    "data.name": _text,
    "data.listing": _digest,
    "standard.name": _text,
    "standard.headline": _text,
    "standard.called_standard": lambda value: isinstance(value, bool),
    "standard.reasons": _texts,
    "standard.definition": lambda value: isinstance(value, dict) and _text(value.get("name")),
    "metric.name": _text,
    "tracks": lambda value: isinstance(value, dict) and bool(value) and set(value) <= {"Q", "G"},
    "flags": lambda value: isinstance(value, list) and all(map(_flag, value)),
    "manifest": _digest,
    "environment": lambda value: isinstance(value, dict),
    SEAL: _digest,
}
_TRACK: dict[str, Test] = {
    "clean.mAP": _share,
    "clean.cmc.1": _share,
    "robust.mAP": _share,
    "robust.cmc.1": _share,
    "interval": _interval,
    "manifest": _digest,
}


def _flag(value: Any) -> bool:
    levels = ("RED", "AMBER")
    words = isinstance(value, dict) and all(_text(value.get(k)) for k in ("name", "meaning"))
    return words and value.get("level") in levels and _text(value.get("where"))


def _at(content: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            raise LookupError(key)
        content = content[part]
    return content


def _wrong(content: dict[str, Any], tests: dict[str, Test], where: str = "") -> Iterator[str]:
    for key, test in tests.items():
        try:
            if not test(_at(content, key)):
                yield f"'{where}{key}' is not what it has to be"
        except LookupError:
            yield f"it lacks '{where}{key}'"


def _faults(found: dict[str, Any]) -> Iterator[str]:
    """Yield what keeps a tree from being a result."""
    yield from _wrong(found, _TOP)
    for track, bounds in found["tracks"].items():
        if not isinstance(bounds, dict) or not bounds:
            yield f"track {track} has no bounds"
        for eps, facts in bounds.items():
            where = f"tracks.{track}.{eps}."
            if not (eps.isascii() and eps.isdecimal() and int(eps) <= LEVELS):
                yield f"'tracks.{track}' has the bound '{eps}', and bounds are gray levels"
            yield from _wrong(facts, _TRACK, where)
            if not _defense(facts.get("defense")):
                yield f"'{where}defense' is not what it has to be"


def _contradictions(found: dict[str, Any]) -> Iterator[str]:
    """Yield where a result says two things that cannot both be."""
    standard = found["standard"]
    red = any(flag["level"] == "RED" for flag in found["flags"])
    if standard["called_standard"] and (red or standard["reasons"]):
        yield "it calls itself standard against its flags or reasons"
    for track, bounds in found["tracks"].items():
        for eps, facts in bounds.items():
            if facts["robust"]["mAP"] > facts["clean"]["mAP"] + 1e-9:
                yield f"track {track}, eps {eps}: robust mAP is above the clean one"
    if manifest_hash(found["tracks"]) != found["manifest"]:
        yield "its manifest hash is not that of its tracks' manifests"
