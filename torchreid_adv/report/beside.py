"""A comparison with a paper as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torchreid_adv.report.comparison import Comparison, Entry
from torchreid_adv.report.matrix import KINDS
from torchreid_adv.report.paper import PaperTable
from torchreid_adv.report.words import DASH

NAMES = {
    "mAP": "mAP",
    "rank1": "Rank-1",
    "rank5": "Rank-5",
    "rank10": "Rank-10",
    "rank20": "Rank-20",
    "map_ratio": "mAP ratio",
    "train_loss": "training loss",
    "held_out_loss": "held-out loss",
    "train_error": "training error",
    "held_out_error": "held-out error",
    "ssim": "SSIM",
    "seconds": "seconds",
    "metric_preserving_mAP": "mAP, metric-preserving",
}
_UNITS = {"percent": "in percent", "ratio": "adversarial over clean mAP", "number": "as it is"}
_SAME = {
    "gray": "g: gray-box, the same network with other weights; b: black-box, another network",
    "black": "b: black-box, another network or (as the paper counts) the same with other weights",
}
_FLAGS = {"rerank": ("plain", "re-ranked")}


def markdown(comparison: Comparison) -> str:
    """Return title, tables, legend and sentences as Markdown."""
    table = comparison.table
    parts = [f"## {table.name}: {table.title}", table.paper]
    parts += [_table(comparison.of(target), target, table) for target in comparison.targets]
    parts += [
        "\n".join(["", *(f"- {note}" for note in (_legend(table), *comparison.notes))]).strip()
    ]
    return "\n\n".join(parts)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data; ours in [0, 1], the paper's as printed."""
    table = comparison.table
    return {
        "name": table.name,
        "paper": table.paper,
        "title": table.title,
        "paper_unit": table.unit,
        "paper_ap_rule": table.ap_rule,
        "notes": list(comparison.notes),
        "cells": [_plain(entry, table) for entry in comparison.entries],
    }


def _plain(entry: Entry, table: PaperTable) -> dict[str, Any]:
    where = {key: value for key, value in entry.where.items() if key not in table.measures}
    facts: dict[str, Any] = {**where, "target": entry.target}
    if entry.paper:
        facts["paper_target"] = entry.where["target"]
    ours = entry.ours
    facts |= {"kind": None, "ours": None, "paper": dict(entry.paper) or None}
    if ours is not None:
        facts |= {"kind": ours.kind or None, "ours": dict(ours.measures)}
        facts |= {"kinds": dict(ours.kinds)} if ours.kinds else {}
        facts |= {"ours_clean": dict(ours.clean)} if ours.clean else {}
    return facts


def _legend(table: PaperTable) -> str:
    unit = _UNITS[table.unit]
    return (
        f"Ours [the paper's], {unit}; {DASH} = the paper has it, we do not. w, in bold: white-box; "
        f"{_SAME[table.same_network]}; o: oblivious, made on the tested weights without the "
        "defense before them."
    )


def _table(entries: Sequence[Entry], target: str, table: PaperTable) -> str:
    rows = list(dict.fromkeys(label(entry.where, table.rows) for entry in entries))
    columns = _ordered(entries, table)
    found = {
        (label(entry.where, table.rows), label(entry.where, table.columns)): entry
        for entry in entries
    }
    several = len(table.measures) > 1 or not table.columns
    heads = [_head(column, name, several) for column in columns for name in table.measures]
    lines = [f"| {target}: {', '.join(table.rows)} | " + " | ".join(heads) + " |"]
    lines.append("|---" * (len(heads) + 1) + "|")
    for row in rows:
        shown = [
            _cell(found.get((row, column)), name, table.unit)
            for column in columns
            for name in table.measures
        ]
        lines.append(f"| {row} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def label(where: Mapping[str, Any], fields: Sequence[str]) -> str:
    """Return how a row or column is called; "" where no field tells it from others."""
    words = [_word(field, where.get(field, "")) for field in fields]
    said = ", ".join(word for word in words if word)
    return said or ("clean" if fields else "")


def _word(field: str, value: Any) -> str:
    if isinstance(value, bool):
        return _FLAGS.get(field, (f"not {field}", field))[value]
    if isinstance(value, float):
        return f"{field} {value:g}"
    return str(value)


def _ordered(entries: Sequence[Entry], table: PaperTable) -> list[str]:
    """Return the columns in order of appearance, numbers by their size."""
    first = {label(entry.where, table.columns): entry.where for entry in entries}
    values = {name: [where.get(field) for field in table.columns] for name, where in first.items()}
    if values and all(isinstance(v, float) for group in values.values() for v in group):
        return sorted(values, key=lambda name: values[name])
    return list(values)


def _head(column: str, measure: str, several: bool) -> str:
    return " ".join(filter(None, [column, NAMES.get(measure, measure) if several else ""]))


def _cell(entry: Entry | None, measure: str, unit: str) -> str:
    if entry is None:
        return ""
    digits, factor = (2, 100) if unit == "percent" else (3, 1)
    ours = entry.ours.measures.get(measure) if entry.ours else None
    said = DASH if ours is None else f"{factor * ours:.{digits}f}"
    kind = entry.ours.kind_of(measure) if entry.ours and ours is not None else ""
    if kind:
        said = f"**{said}**" if kind == "white" else said
        said = f"{said} {KINDS[kind]}"
    printed = entry.paper.get(measure)
    return said if printed is None else f"{said} [{printed:.{digits + 2}g}]"
