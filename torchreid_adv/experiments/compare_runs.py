"""Results of runs side by side: a column for each, a row for each setting and measure."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import near_path
from torchreid_adv.core.pixels import to_levels
from torchreid_adv.core.untrusted import read_json
from torchreid_adv.errors import DataError, printable
from torchreid_adv.report.mixed_table import MixedTable, Value
from torchreid_adv.standard.reading import LARGEST, RESULT, read_result

RESULTS = "results.json"
_TRACKS = {"Q": "queries", "G": "gallery"}
# row -> path in a data set's entry in results.json
_SETTINGS = {
    "attack": ("attack", "name"),
    "AP rule": ("ap_rule",),
    "protocol": ("protocol", "name"),
}
_MEASURES = ("mAP", "mINP", "Rank-1", "Rank-5", "Rank-10")
_RUNS = {"clean": "clean", "adversarial": "adversarial"}


@dataclass(frozen=True)
class ComparedResult:
    """One result in the table.

    Args:
        label: of its column.
        settings: row -> model, data, attack or rule of the scores.
        measures: row -> share in [0, 1].
    """

    label: str
    settings: dict[str, Value] = field(default_factory=dict)
    measures: dict[str, Value] = field(default_factory=dict)


def compare_runs(runs: Sequence[str | Path]) -> MixedTable:
    """Return the results of two runs or more as a table.

    Args:
        runs: folders of ``attack``, ``attack-gallery`` or ``standard``, or their ``results.json``
            or ``standard.json``. Each data set, and each bound of a standard evaluation, has a
            column.

    Raises:
        DataError: the folder or file does not exist, or holds no result.

    Example:
        >>> print(compare_runs(["log/ifgsm", "log/sma"]).console())
    """
    files = [_file_of(Path(run).expanduser()) for run in runs]
    labels = _labels(files)
    results = [
        result
        for file, label in zip(files, labels, strict=True)
        for result in _results(file, label)
    ]
    settings = _rows(results, "settings")
    measures = _rows(results, "measures")
    return MixedTable(
        title=f"{len(results)} results side by side",
        columns=("", *(result.label for result in results)),
        rows=(*settings, *measures),
        rates=frozenset(str(row[0]) for row in measures),
        notes=tuple(_notes(settings)),
    )


def _file_of(place: Path) -> Path:
    """Return the result file of a folder or file."""
    if place.is_file():
        return place
    result_files = [place / name for name in (RESULT, RESULTS) if (place / name).is_file()]
    if result_files:
        return result_files[0]
    shown = printable(str(place))
    if not place.is_dir():
        raise DataError(f"there is no run '{shown}'{near_path(place)}")
    inside = sorted(path.parent for path in place.rglob(RESULT))[:3]
    hint = f"; did you mean {' '.join(map(str, inside))}?" if inside else ""
    raise DataError(
        f"'{shown}' holds neither {RESULTS} nor {RESULT}; give the folder of a finished run of "
        f"attack, attack-gallery or standard{hint}"
    )


def _labels(files: Sequence[Path]) -> list[str]:
    """Return the folders' names, with enough parent folders to distinguish them."""
    parts = [
        (path.parent if path.name in (RESULT, RESULTS) else path).absolute().parts for path in files
    ]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = [os.sep.join(folders[-depth:]) for folders in parts]
        if len(set(names)) == len(names):
            return names
    return [os.sep.join(folders[-2:]) for folders in parts]  # the same run twice


def _results(file: Path, label: str) -> Iterator[ComparedResult]:
    content = read_json(file, LARGEST)
    shown = printable(str(file))
    if isinstance(content, dict) and isinstance(content.get("targets"), dict):
        several = len(content["targets"]) > 1
        for name, target in content["targets"].items():
            yield _of_target(content, name, target, f"{label}, {name}" if several else label)
    elif isinstance(content, dict) and isinstance(content.get("tracks"), dict):
        yield from _of_standard(read_result(file), label)
    else:
        raise DataError(f"'{shown}' is not a result of attack, attack-gallery or standard")


def _of_target(content: Any, name: str, target: Any, label: str) -> ComparedResult:
    """Return the column of a data set in ``results.json``."""
    keys = _at(content, "config", "adv", "attack")
    settings = {"model": _value(_at(content, "model", "name")), "data set": name}
    settings |= {row: _value(_at(target, *path)) for row, path in _SETTINGS.items()}
    eps = _at(target, "attack", "eps")
    settings["eps (gray levels)"] = (
        _value(_at(keys, "eps")) if isinstance(keys, dict) else _levels(eps)
    )
    settings["attacked"] = _value(_at(keys, "side"))
    settings["defense"] = _value(_at(target, "defense", "name"))
    measures: dict[str, Value] = {}
    for measure, (title, key) in itertools.product(_MEASURES, _RUNS.items()):
        measures[f"{title} {measure}"] = _rate(_at(target, key), measure)
    for title in ("clean", "oblivious", "adaptive"):
        measures[f"behind the defense, {title} mAP"] = _rate(_at(target, "defense", title), "mAP")
    return ComparedResult(label, settings, measures)


def _levels(eps: Any) -> Value:
    return round(float(to_levels(eps)), 3) if isinstance(eps, (int, float)) else None


def _of_standard(content: dict[str, Any], label: str) -> Iterator[ComparedResult]:
    """Yield one column per bound of a ``standard.json``."""
    bounds = sorted({eps for track in content["tracks"].values() for eps in track}, key=float)
    for eps in reversed(bounds):
        settings: dict[str, Value] = {
            "model": content["model"]["name"],
            "data set": content["data"]["name"],
            "attack": content["standard"]["name"],
            "AP rule": content["protocol"]["ap_rule"],
            "protocol": content["protocol"]["name"],
            "eps (gray levels)": float(eps),
            "red flags": ", ".join(
                sorted({flag["name"] for flag in content["flags"] if flag["level"] == "RED"})
            )
            or None,
        }
        measures: dict[str, Value] = {}
        for track, bound in content["tracks"].items():
            facts = bound.get(eps)
            for measure in ("mAP", "Rank-1") if facts else ():
                measures[f"clean {measure}"] = _rate(facts["clean"], measure)
                robust = _rate(facts["robust"], measure)
                measures[f"{_TRACKS[track]} attacked, robust {measure}"] = robust
        yield ComparedResult(
            f"{label}, eps {eps}" if len(bounds) > 1 else label, settings, measures
        )


def _at(content: Any, *path: str) -> Any:
    """Return the value at a path, None if there is none."""
    for key in path:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _value(value: Any) -> Value:
    return value if isinstance(value, (str, int, float)) and value != "" else None


def _rate(measures: Any, name: str) -> float | None:
    rank = name.partition("-")[2]
    rate = _at(measures, "cmc", rank) if rank else _at(measures, name)
    known = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    return float(rate) if known else None


def _rows(results: Sequence[ComparedResult], part: str) -> tuple[tuple[Value, ...], ...]:
    """Return the rows of settings or measures that at least one result has."""
    tables: list[dict[str, Value]] = [getattr(result, part) for result in results]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = [(name, *(table.get(name) for table in tables)) for name in names]
    return tuple(row for row in rows if any(value is not None for value in row[1:]))


def _notes(settings: Sequence[tuple[Value, ...]]) -> Iterator[str]:
    """Yield what a reader must know before comparing two columns."""
    differ = [str(name) for name, *values in settings if len({json.dumps(v) for v in values}) > 1]
    if differ:
        yield f"The runs differ in: {', '.join(differ)}."
    if {"data set", "protocol", "AP rule"} & set(differ):
        yield "Numbers of different data sets, protocols or AP rules are not comparable."
