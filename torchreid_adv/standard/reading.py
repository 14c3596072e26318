"""Reads ``standard.json``: a complete, consistent result, or an error that says why not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torchreid_adv.core.manifest import is_count, is_digest, is_number, sha256
from torchreid_adv.core.pixels import LEVELS
from torchreid_adv.core.provenance import FIELD, is_provenance
from torchreid_adv.core.untrusted import read_json
from torchreid_adv.errors import DataError, printable
from torchreid_adv.standard.called import in_current_words
from torchreid_adv.standard.relations import broken, share
from torchreid_adv.standard.told import manifest_hash

__all__ = ["LARGEST", "RESULT", "SCHEMA", "SEAL", "manifest_hash", "read_result", "sealed"]

SCHEMA = 1
RESULT = "standard.json"
SEAL = "sha256"  # hash of all other content
LARGEST = 16 * 2**20  # bytes; a real result is thousands of times smaller

Test = Callable[[Any], bool]


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Return a result with the hash of its content, which reveals a manual change."""
    body = {key: value for key, value in content.items() if key != SEAL}
    plain = json.dumps(json.loads(json.dumps(body)), sort_keys=True)
    return {**body, SEAL: sha256(plain.encode())}


def read_result(path: Path) -> dict[str, Any]:
    """Read a ``standard.json``; texts of earlier versions are returned in current words.

    Raises:
        DataError: it cannot be read, is not a result, comes from a newer version, is inconsistent,
            or was changed by hand.
    """
    result, shown = read_tree(path, SCHEMA, "result of torchreid-adv standard")
    fault = next(_faults(result), "")
    if fault:
        raise DataError(f"'{shown}' is not a result of torchreid-adv standard: {printable(fault)}")
    fits = sealed(result)[SEAL] == result[SEAL]
    result = in_current_words(result)
    fault = next(broken(result), "" if fits else "its content does not match its own hash")
    if fault:
        raise DataError(
            f"'{shown}' was changed by hand, or by another program: {printable(fault)}; run the "
            "same torchreid-adv standard command again to rewrite it"
        )
    return result


def read_tree(
    path: Path, newest: int, kind: str, largest: int = LARGEST
) -> tuple[dict[str, Any], str]:
    """Return the content of a file with a schema, and the path as messages show it.

    Args:
        path: a JSON file.
        newest: schema that this version reads.
        kind: what the file should be, in the words of an error message.
        largest: bytes that are read at most.

    Raises:
        DataError: it cannot be read, has no schema, or was written by a newer version.
    """
    content, shown = read_json(path, largest), printable(str(path))
    if not isinstance(content, dict) or type(content.get("schema")) is not int:
        raise DataError(f"'{shown}' is not a {kind}: it lacks its schema")
    if content["schema"] > newest:
        raise DataError(
            f"'{shown}' was written by a newer version (schema {content['schema']}, this one reads "
            f"{newest}); update torchreid_adv"
        )
    return content, shown


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _name(value: Any) -> bool:
    return _text(value) and bool(value)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _list_of(test: Test) -> Test:
    return lambda value: isinstance(value, list) and all(map(test, value))


def _table_of(test: Test) -> Test:
    return lambda value: isinstance(value, dict) and all(map(test, value.values()))


def _or_none(test: Test) -> Test:
    return lambda value: value is None or test(value)


def _rows(tests: Mapping[str, Test]) -> Test:
    return lambda value: isinstance(value, dict) and not [*_wrong(value, tests)]


def _interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(share, value))


_table = _table_of(lambda value: True)
_level = {"RED": True, "AMBER": True}.__contains__
_CHECK: dict[str, Test] = {
    "name": _text,
    "level": lambda value: _text(value) and _level(value),
    "raised": _flag,
    "value": is_number,
    "threshold": is_number,
    "meaning": _text,
    "where": _text,
}
_TOP: dict[str, Test] = {
    "schema": lambda value: value == SCHEMA,
    "version": _name,
    "model.name": _name,
    "model.sha256": is_digest,
    "model.parameters": _or_none(is_count),
    "model.size": _list_of(is_count),
    "model.defense": _or_none(_table),
    "data.name": _name,
    "data.listing": is_digest,
    "data.query": is_count,
    "data.gallery": is_count,
    "data.train": is_count,
    "standard.name": _name,
    "standard.headline": _text,
    "standard.called_standard": _flag,
    "standard.reasons": _list_of(_text),
    "standard.escalated": _text,
    "standard.definition": lambda value: _table(value) and _name(value.get("name")),
    "threat": _table_of(_text),
    "metric.name": _name,
    "metric.normalized": _flag,
    "protocol.name": _name,
    "protocol.ap_rule": _name,
    "surrogates": _list_of(_rows({"network": _name, "sha256": is_digest})),
    "tracks": lambda value: _table(value) and bool(value) and set(value) <= {"Q", "G"},
    "curve.curve": _table_of(share),
    "curve.rank1": _table_of(share),
    "curve.chance": share,
    "curve.queries": is_count,
    **dict.fromkeys(("looks.repeats", "looks.alone", "looks.cosine"), is_number),
    **dict.fromkeys(("looks.no_gradient", "looks.clean", "looks.chance"), share),
    **dict.fromkeys(("looks.autograd", "looks.same_metric"), _flag),
    **dict.fromkeys(("looks.averaged", "looks.declared"), _flag),
    "looks.black_box": _text,
    "flags": _list_of(_rows(_CHECK)),
    "checks": _list_of(_rows(_CHECK)),
    "manifest": is_digest,
    "environment": _table_of(lambda value: _text(value) or is_count(value)),
    SEAL: is_digest,
}
_MEASURES: dict[str, Test] = {"mAP": share, "cmc": _table_of(share)}
_TRACK: dict[str, Test] = {
    "clean.mAP": share,
    "clean.cmc.1": share,
    "robust.mAP": share,
    "robust.cmc.1": share,
    "interval": _interval,
    "rank1_interval": _interval,
    "map_ratio": _or_none(is_number),
    "queries": is_count,
    "skipped": is_count,
    "manifest": is_digest,
}
_ATTACK: dict[str, Test] = {"queries": is_count, "before": share, "won": is_count, "left": share}
_BY_TRACK: dict[str, dict[str, Test]] = {
    "Q": {
        "best_attack": _name,
        "attacks": _table_of(_rows({**_MEASURES, **_ATTACK, "draws": _list_of(share)})),
        "wins": _table_of(_table_of(is_count)),
        "defense": _or_none(_table_of(_or_none(share))),
    },
    "G": {
        "gallery": _name,
        "galleries": _table_of(_rows({**_MEASURES, "draws": _list_of(share)})),
        "identities": _table_of(is_count),
        "attacked": share,
    },
}


def _at(content: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            raise LookupError(key)
        content = content[part]
    return content


def _wrong(content: Any, tests: Mapping[str, Test], where: str = "") -> Iterator[str]:
    for key, test in tests.items():
        try:
            if not test(_at(content, key)):
                yield f"'{where}{key}' has an invalid value"
        except LookupError:
            yield f"it lacks '{where}{key}'"


def _faults(result: dict[str, Any]) -> Iterator[str]:
    """Yield the reasons why a tree is not a result."""
    yield from _wrong(result, _TOP)
    if FIELD in result and not is_provenance(result[FIELD]):  # results of older versions lack it
        yield f"'{FIELD}' is not as the program writes it"
    for track, bounds in result["tracks"].items():
        if not isinstance(bounds, dict) or not bounds:
            yield f"track {track} has no bounds"
        for eps, facts in bounds.items():
            if not _is_bound(eps):
                yield f"'tracks.{track}' has the bound '{eps[:20]}', and bounds are gray levels"
            yield from _wrong(facts, {**_TRACK, **_BY_TRACK[track]}, f"tracks.{track}.{eps}.")


def _is_bound(eps: str) -> bool:
    """Return whether a text is a whole number of gray levels, as Python writes it."""
    return len(eps) <= 3 and eps in map(str, range(LEVELS + 1))
