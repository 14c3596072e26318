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
# a row -> where a data set of results.json holds it
_SETTINGS = {
    "attack": ("attack", "name"),
    "AP rule": ("ap_rule",),
    "protocol": ("protocol", "name"),
}
_MEASURES = ("mAP", "mINP", "Rank-1", "Rank-5", "Rank-10")
_RUNS = {"clean": "clean", "adversarial": "adversarial"}


@dataclass(frozen=True)
class ComparedResult:
    """What a table shows of one result.

    Args:
        label: of its column.
        settings: row -> what was attacked, how and by what it was scored.
        measures: row -> share of [0, 1].
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
        DataError: no such folder or file, or no result in it.

    Example:
        >>> print(compare_runs(["log/ifgsm", "log/sma"]).console())
    """
    files = [_file_of(Path(run).expanduser()) for run in runs]
    labels = _labels(files)
    found = [
        result
        for file, label in zip(files, labels, strict=True)
        for result in _results(file, label)
    ]
    settings = _rows(found, "settings")
    measures = _rows(found, "measures")
    return MixedTable(
        title=f"{len(found)} results side by side",
        columns=("", *(result.label for result in found)),
        rows=(*settings, *measures),
        rates=frozenset(str(row[0]) for row in measures),
        notes=tuple(_notes(settings)),
    )


def _file_of(place: Path) -> Path:
    """Return the file of a result that a folder or file stands for."""
    if place.is_file():
        return place
    found = [place / name for name in (RESULT, RESULTS) if (place / name).is_file()]
    if found:
        return found[0]
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
    """Return the folders' names, with as many of those above them as tell them apart."""
    parts = [
        (path.parent if path.name in (RESULT, RESULTS) else path).absolute().parts for path in files
    ]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = [os.sep.join(one[-depth:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [os.sep.join(one[-2:]) for one in parts]  # the same run twice


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
        raise DataError(f"'{shown}' is no result of attack, attack-gallery or standard")


def _of_target(content: Any, name: str, target: Any, label: str) -> ComparedResult:
    """Return what is shown of a data set of ``results.json``."""
    chosen = _at(content, "config", "adv", "attack")
    settings = {"model": _value(_at(content, "model", "name")), "data set": name}
    settings |= {row: _value(_at(target, *path)) for row, path in _SETTINGS.items()}
    eps = _at(target, "attack", "eps")
    settings["eps (gray levels)"] = (
        _value(_at(chosen, "eps")) if isinstance(chosen, dict) else _levels(eps)
    )
    settings["attacked"] = _value(_at(chosen, "side"))
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
    """Yield what is shown of a ``standard.json``, for each of its bounds."""
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
            found = bound.get(eps)
            for measure in ("mAP", "Rank-1") if found else ():
                measures[f"clean {measure}"] = _rate(found["clean"], measure)
                robust = _rate(found["robust"], measure)
                measures[f"{_TRACKS[track]} attacked, robust {measure}"] = robust
        yield ComparedResult(
            f"{label}, eps {eps}" if len(bounds) > 1 else label, settings, measures
        )


def _at(content: Any, *path: str) -> Any:
    """Return what stands at a place, None where there is nothing."""
    for key in path:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _value(found: Any) -> Value:
    return found if isinstance(found, (str, int, float)) and found != "" else None


def _rate(measures: Any, name: str) -> float | None:
    rank = name.partition("-")[2]
    found = _at(measures, "cmc", rank) if rank else _at(measures, name)
    known = isinstance(found, (int, float)) and not isinstance(found, bool)
    return float(found) if known else None


def _rows(found: Sequence[ComparedResult], part: str) -> tuple[tuple[Value, ...], ...]:
    """Return the rows of settings or measures that at least one result has."""
    tables: list[dict[str, Value]] = [getattr(result, part) for result in found]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = [(name, *(table.get(name) for table in tables)) for name in names]
    return tuple(row for row in rows if any(value is not None for value in row[1:]))


def _notes(settings: Sequence[tuple[Value, ...]]) -> Iterator[str]:
    """Yield what has to be known before two columns are compared."""
    differ = [str(name) for name, *values in settings if len({json.dumps(v) for v in values}) > 1]
    if differ:
        yield f"The runs differ in: {', '.join(differ)}."
    if {"data set", "protocol", "AP rule"} & set(differ):
        yield "Numbers of different data sets, protocols or AP rules do not compare."
