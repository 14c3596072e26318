"""What we found beside what a paper printed: the cells of both, matched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torchreid_adv.report.matrix import KINDS
from torchreid_adv.report.paper_table import PaperTable
from torchreid_adv.report.units import DASH

_RANKS = {f"rank{rank}": str(rank) for rank in (1, 5, 10, 20)}


@dataclass(frozen=True)
class OurCell:
    """One of our results.

    Args:
        where: what it is of: ``target`` = data set, and the fields of the paper's table.
        measures: by the names of the table, in [0, 1].
        kind: ``white``, ``gray``, ``black`` or ``oblivious``; "" where nothing was attacked.
        clean: the same measures without an attack, where there is one.
        kinds: measure -> kind, where measures are of several networks; one that is not named is
            of none, as a ratio of two is.
    """

    where: Mapping[str, Any]
    measures: Mapping[str, float]
    kind: str = ""
    clean: Mapping[str, float] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)

    def kind_of(self, measure: str) -> str:
        """Return the kind of attack behind a measure."""
        return self.kinds.get(measure, "") if self.kinds else self.kind


@dataclass(frozen=True)
class ComparedCell:
    """A cell of a comparison.

    Args:
        target: our data set.
        where: what it is of, in the fields of the paper's table.
        ours: None where only the paper has it.
        paper: as printed; empty where only we have it.
    """

    target: str
    where: Mapping[str, Any]
    ours: OurCell | None
    paper: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """Ours beside the paper's.

    Args:
        table: the paper's.
        entries: data set by data set, the paper's cells in its order, then those of ours alone.
        notes: sentences that belong below the table.
    """

    table: PaperTable
    entries: tuple[ComparedCell, ...]
    notes: tuple[str, ...]

    @property
    def targets(self) -> list[str]:
        """Our data sets."""
        return list(dict.fromkeys(entry.target for entry in self.entries))

    def of(self, target: str) -> list[ComparedCell]:
        """Return the entries of one data set."""
        return [entry for entry in self.entries if entry.target == target]


def compare(
    table: PaperTable, findings: Sequence[OurCell], *, notes: Iterable[str] = ()
) -> Comparison:
    """Match our results with a paper's table.

    A data set that the paper does not have is held against the first one of its table.

    Args:
        table: the paper's.
        findings: ours.
        notes: further sentences.
    """
    findings = [_as_paper(finding, table) for finding in findings]
    targets = list(dict.fromkeys(str(finding.where["target"]) for finding in findings))
    entries = [entry for target in targets for entry in _matched(table, findings, target)]
    said = [
        sentence for sentence in (_foreign(table, targets), _left_out(table, targets)) if sentence
    ]
    return Comparison(table, tuple(entries), (*said, *notes, *filter(None, [table.note])))


def printed_alone(table: PaperTable, *, notes: Iterable[str] = ()) -> Comparison:
    """Return a table with nothing of ours beside it."""
    entries = [
        ComparedCell(cell["target"], cell, None, table.printed(cell)) for cell in table.cells
    ]
    return Comparison(table, tuple(entries), (*notes, *filter(None, [table.note])))


def measured(measures: Mapping[str, Any]) -> dict[str, float]:
    """Return measures of results.json under the names of paper tables.

    Args:
        measures: ``{"mAP", "cmc": {"1", ...}, ...}``, in [0, 1].
    """
    ranks = {name: float(measures["cmc"][rank]) for name, rank in _RANKS.items()}
    return {**ranks, "mAP": float(measures["mAP"])}


def _as_paper(finding: OurCell, table: PaperTable) -> OurCell:
    """Return a finding whose kinds are called as the paper calls them."""
    names = {"gray": table.same_network}
    kinds = {measure: names.get(kind, kind) for measure, kind in finding.kinds.items()}
    return replace(finding, kind=names.get(finding.kind, finding.kind), kinds=kinds)


def _matched(table: PaperTable, findings: Sequence[OurCell], target: str) -> list[ComparedCell]:
    ours = {table.place(f.where): f for f in findings if f.where["target"] == target}
    against = table.target_for(target)
    entries = []
    for cell in table.cells:
        if cell["target"] == against:
            found = ours.pop(table.place(cell), None)
            entries.append(ComparedCell(target, cell, found, table.printed(cell)))
    return [*entries, *(ComparedCell(target, found.where, found, {}) for found in ours.values())]


def _foreign(table: PaperTable, targets: Sequence[str]) -> str:
    others = [target for target in targets if target not in table.targets]
    if not (others and table.targets):
        return ""
    return (
        f"The paper's numbers are of {table.targets[0]}, ours of {', '.join(others)}: "
        "another data set, so the two are not expected to agree."
    )


def _left_out(table: PaperTable, targets: Sequence[str]) -> str:
    left = [name for name in table.targets if name not in map(table.target_for, targets)]
    return (
        f"The table has {', '.join(left)}, too, which data.targets does not name." if left else ""
    )


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
    "improvement": "#I",
    "positive_distance": "mean distance to true positives",
}
_NUMBERS = ("positive_distance",)  # printed as they are, whatever the unit of the table
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


def _plain(entry: ComparedCell, table: PaperTable) -> dict[str, Any]:
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


def _table(entries: Sequence[ComparedCell], target: str, table: PaperTable) -> str:
    rows = list(dict.fromkeys(cell_label(entry.where, table.rows) for entry in entries))
    columns = _ordered(entries, table)
    found = {
        (cell_label(entry.where, table.rows), cell_label(entry.where, table.columns)): entry
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


def cell_label(where: Mapping[str, Any], fields: Sequence[str]) -> str:
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


def _ordered(entries: Sequence[ComparedCell], table: PaperTable) -> list[str]:
    """Return the columns in order of appearance, numbers by their size."""
    first = {cell_label(entry.where, table.columns): entry.where for entry in entries}
    values = {name: [where.get(field) for field in table.columns] for name, where in first.items()}
    if values and all(isinstance(v, float) for group in values.values() for v in group):
        return sorted(values, key=lambda name: values[name])
    return list(values)


def _head(column: str, measure: str, several: bool) -> str:
    return " ".join(filter(None, [column, NAMES.get(measure, measure) if several else ""]))


def _cell(entry: ComparedCell | None, measure: str, unit: str) -> str:
    if entry is None:
        return ""
    percent = unit == "percent" and measure not in _NUMBERS
    digits, factor = (2, 100) if percent else (3, 1)
    ours = entry.ours.measures.get(measure) if entry.ours else None
    said = DASH if ours is None else f"{factor * ours:.{digits}f}"
    kind = entry.ours.kind_of(measure) if entry.ours and ours is not None else ""
    if kind:
        said = f"**{said}**" if kind == "white" else said
        said = f"{said} {KINDS[kind]}"
    printed = entry.paper.get(measure)
    if printed is None:
        return said
    shown = f"{printed:g}" if printed >= 10 ** (digits + 2) else f"{printed:.{digits + 2}g}"
    return f"{said} [{shown}]"
