"""``card.json``: what it holds, how it is sealed, and how one from elsewhere is read.

Its parts: ``card`` (the definition), ``model``, ``data``, ``metric`` and ``protocol`` as in
``standard.json``, ``standard`` (seal, name and flags of the ``standard.json`` it is of),
``queries`` (average precision of every query in every condition), ``numbers`` (all that follows
from these, see :func:`.numbers.card_numbers`), ``cost``, ``environment``, and the seal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import write_text
from torchreid_adv.core.manifest import is_count, is_digest, is_number
from torchreid_adv.errors import DataError, printable
from torchreid_adv.experiments.card.budgets import CARDS, CardVersion
from torchreid_adv.experiments.card.numbers import card_numbers
from torchreid_adv.standard.reading import SEAL, read_tree, sealed
from torchreid_adv.standard.relations import FAILURES, ROUNDING, share
from torchreid_adv.standard.replay import differences

SCHEMA = 1
CARD = "card.json"
LARGEST = 256 * 2**20  # bytes; some 100 numbers for each query
COPIED = ("model", "data", "metric", "protocol")  # parts that standard.json has, too
CLAIMED = ("cost", "environment", "version")  # parts that nothing can be compared with

Test = Callable[[Any], bool]


def write_card(path: Path, content: dict[str, Any]) -> None:
    """Seal a card and write it, one line for each part."""
    parts = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sealed(content).items()]
    write_text(path, "{\n" + ",\n".join(parts) + "\n}\n")


def read_card(path: Path) -> dict[str, Any]:
    """Read a ``card.json`` whose numbers follow from its queries.

    Raises:
        DataError: it cannot be read, is not a card, was written by a newer version, contradicts
            itself, or was changed by hand.
    """
    content, shown = read_tree(path, SCHEMA, "robustness card", LARGEST)
    fault = next(_faults(content), "")
    if fault:
        raise DataError(
            f"'{shown}' is not a card of torchreid-adv card, or was changed by hand: "
            f"{printable(fault)}; run the same torchreid-adv card once more to write it again"
        )
    return content


def version_in(content: Mapping[str, Any]) -> CardVersion:
    """Return the version that a card which was read is of."""
    return CARDS[content["card"]["name"]]


def label_of(content: Mapping[str, Any]) -> str:
    """Return the name of a card's model."""
    return str(content["model"]["name"])


def _faults(content: dict[str, Any]) -> Iterator[str]:
    """Yield what keeps a tree from being a card; nothing is computed before its form is right."""
    try:
        wrong = [name for name, test in _TESTS.items() if not test(_at(content, name))]
    except FAILURES as error:
        yield f"it lacks {error}"
        return
    wrong += [name for name in content if name not in _TESTS]
    if wrong:
        yield f"'{wrong[0]}' is not what it has to be"
        return
    if content["card"] != CARDS[content["card"]["name"]].facts():
        yield f"its budgets are not those of the version '{content['card']['name']}'"
        return
    yield from _query_faults(content["queries"], version_in(content))
    try:
        numbers = card_numbers(content["queries"], version_in(content))
    except (*FAILURES, DataError) as error:
        yield f"its numbers do not follow from its queries: {error}"
        return
    computed, count = json.loads(json.dumps(numbers)), len(content["queries"]["pids"])
    yield from (
        f"numbers: {fault}" for fault in differences(content["numbers"], computed, ROUNDING, count)
    )
    if sealed(content)[SEAL] != content[SEAL]:
        yield "its content does not fit its own hash"


def _query_faults(queries: dict[str, Any], version: CardVersion) -> Iterator[str]:
    """Yield where the per-query part has another form than the version says."""
    count = len(queries["image_ids"])
    rows = [("clean", queries["clean"]["ap"]), ("clean", queries["clean"]["first"])]
    rows += [(name, row[part]) for name, row in queries["robust"].items() for part in _PARTS]
    rows += [("draws", row) for row in queries["draws"]]
    rows += [(name, row) for part in ("grid", "occluded") for name, row in queries[part].items()]
    rows += [("chance", queries["chance"])]
    held = [value is None for value in queries["clean"]["ap"]]
    for name, row in rows:
        if len(row) != count or [value is None for value in row] != held:
            yield f"'{name}' is not of the {count} queries that have a match"
    if len({*queries["image_ids"]}) != count or not count:
        yield "a query occurs twice, or there is none"
    if any(len(queries[name]) != count for name in ("pids", "camids")):
        yield "identities and cameras are not one for each query"
    cells_of = {"grid": version.grid, "occluded": version.sweep}
    for part, cells in cells_of.items():
        if list(queries[part]) != [f"{kind} {severity}" for kind, severity in cells]:
            yield f"'{part}' has other kinds or severities than the version '{version.name}'"
    if len(queries["draws"]) != version.draws:
        yield f"it has {len(queries['draws'])} draws, the version '{version.name}' {version.draws}"
    for name, facts in queries["cross"].items():
        sizes = {len(facts[part]) for part in ("image_ids", "pids", "ap", "first")}
        if len(sizes) != 1:
            yield f"the queries of '{name}' do not have one value each"


_PARTS = ("ap", "first")


def _at(content: Any, key: str) -> Any:
    for part in key.split("."):
        content = content[part]
    return content


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _list_of(test: Test) -> Test:
    return lambda value: isinstance(value, list) and all(map(test, value))


def _table_of(test: Test) -> Test:
    return lambda value: isinstance(value, dict) and all(map(test, value.values()))


def _fields(**tests: Test) -> Test:
    """Return a test of an object with exactly these fields."""
    return lambda value: (
        isinstance(value, dict)
        and set(value) == set(tests)
        and all(test(value[name]) for name, test in tests.items())
    )


def _or_none(test: Test) -> Test:
    return lambda value: value is None or test(value)


_names, _table = _list_of(_text), _table_of(lambda value: True)
_pids = _list_of(lambda value: type(value) is int)
_values = _list_of(_or_none(share))
_scores = _fields(ap=_values, first=_values)
_flag = _fields(name=_text, level=_text, where=lambda value: isinstance(value, str))
_seconds = _or_none(lambda value: is_number(value) and value >= 0)
_TESTS: dict[str, Test] = {
    "schema": lambda value: value == SCHEMA,
    "version": _text,
    "card": lambda value: _table(value) and value.get("name") in CARDS,
    "model": _table,
    "model.name": _text,
    "model.sha256": is_digest,
    "data": _table,
    "data.name": _text,
    "data.listing": is_digest,
    "data.gallery": is_count,
    "metric": _table,
    "protocol": _table,
    "protocol.name": _text,
    "protocol.ap_rule": _text,
    "standard": _fields(
        name=_text,
        called_standard=lambda v: isinstance(v, bool),
        sha256=is_digest,
        flags=_list_of(_flag),
    ),
    "queries": _fields(
        image_ids=_names,
        pids=_pids,
        camids=_pids,
        chance=_values,
        clean=_scores,
        robust=lambda value: bool(value) and _table_of(_scores)(value),
        draws=lambda value: bool(value) and _list_of(_values)(value),
        grid=_table_of(_values),
        occluded=_table_of(_values),
        cross=_table_of(
            _fields(listing=is_digest, image_ids=_names, pids=_pids, ap=_values, first=_values)
        ),
    ),
    "numbers": _table,
    "cost": _fields(
        parameters=_or_none(is_count),
        size=_list_of(is_count),
        feature=is_count,
        images_per_second=_seconds,
        seconds=_table_of(_seconds),
    ),
    "environment": _table_of(lambda value: isinstance(value, str) or is_count(value)),
    SEAL: is_digest,
}
