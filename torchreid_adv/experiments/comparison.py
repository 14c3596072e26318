"""Our results compared with a paper's: the cells of both, matched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torchreid_adv.report.matrix import KINDS
from torchreid_adv.report.paper_table import PaperTable
from torchreid_adv.report.table import markdown_table
from torchreid_adv.report.units import DASH

_RANKS = {f"rank{rank}": str(rank) for rank in (1, 5, 10, 20)}


@dataclass(frozen=True)
class OurCell:
    """One of our results.

    Args:
        where: its fields: ``target`` = data set, and those of the paper's table.
        measures: by the names of the table, in [0, 1].
        kind: ``white``, ``gray``, ``black`` or ``oblivious``; "" if nothing was attacked.
        clean: the same measures without an attack, if there is one.
        kinds: measure -> kind, if measures belong to several networks; measures without an entry,
            such as a ratio of two others, have no kind.
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
        where: its values of the fields of the paper's table.
        ours: None if only the paper has it.
        paper: as printed; empty if only we have it.
    """

    target: str
    where: Mapping[str, Any]
    ours: OurCell | None
    paper: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """Our results and the paper's.

    Args:
        table: the paper's.
        entries: data set by data set, the paper's cells in its order, then cells that only we have.
        notes: sentences below the table.
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

    A data set that the paper does not have is compared with the first one of its table.

    Args:
        table: the paper's.
        findings: ours.
        notes: further sentences.
    """
    findings = [_as_paper(finding, table) for finding in findings]
    targets = list(dict.fromkeys(str(finding.where["target"]) for finding in findings))
    entries = [entry for target in targets for entry in _matched(table, findings, target)]
    sentences = [
        sentence for sentence in (_foreign(table, targets), _left_out(table, targets)) if sentence
    ]
    return Comparison(table, tuple(entries), (*sentences, *notes, *filter(None, [table.note])))


def printed_alone(table: PaperTable, *, notes: Iterable[str] = ()) -> Comparison:
    """Return a paper's table without results of ours."""
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
    """Return a finding whose kinds have the paper's names."""
    names = {"gray": table.same_network}
    kinds = {measure: names.get(kind, kind) for measure, kind in finding.kinds.items()}
    return replace(finding, kind=names.get(finding.kind, finding.kind), kinds=kinds)


def _matched(table: PaperTable, findings: Sequence[OurCell], target: str) -> list[ComparedCell]:
    ours = {table.place(f.where): f for f in findings if f.where["target"] == target}
    against = table.target_for(target)
    entries = []
    for cell in table.cells:
        if cell["target"] == against:
            our_cell = ours.pop(table.place(cell), None)
            entries.append(ComparedCell(target, cell, our_cell, table.printed(cell)))
    return [
        *entries,
        *(ComparedCell(target, our_cell.where, our_cell, {}) for our_cell in ours.values()),
    ]


def _foreign(table: PaperTable, targets: Sequence[str]) -> str:
    others = [target for target in targets if target not in table.targets]
    if not (others and table.targets):
        return ""
    return (
        f"The paper's numbers are for {table.targets[0]}, ours for {', '.join(others)}: "
        "another data set, so the two are not expected to agree."
    )


def _left_out(table: PaperTable, targets: Sequence[str]) -> str:
    missing_targets = [name for name in table.targets if name not in map(table.target_for, targets)]
    return (
        f"The table has {', '.join(missing_targets)}, too, which data.targets does not name."
        if missing_targets
        else ""
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
_NUMBERS = ("positive_distance",)  # printed unscaled, whatever the unit of the table
_UNITS = {
    "percent": "in percent",
    "ratio": "adversarial over clean mAP",
    "number": "without a unit",
}
_SAME = {
    "gray": "g: gray-box, the same network with other weights; b: black-box, another network",
    "black": "b: black-box, another network or (as in the paper) the same with other weights",
}
_FLAGS = {"rerank": ("plain", "re-ranked")}


def markdown(comparison: Comparison) -> str:
    """Return title, tables, legend and sentences as Markdown."""
    table = comparison.table
    sentences = "\n".join(f"- {sentence}" for sentence in explanation(comparison))
    parts = [f"## {table.name}: {table.title}", table.paper]
    parts += [_table(comparison.of(target), target, table) for target in comparison.targets]
    return "\n\n".join([*parts, sentences])


def explanation(comparison: Comparison, pair: str = "Ours [the paper's]") -> list[str]:
    """Return the sentences below the tables: how they are read, and what is missing.

    Args:
        comparison: of the tables.
        pair: how a cell shows the two numbers.
    """
    return [f"{pair}, {_legend(comparison.table)}", *comparison.notes]


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
        f"{unit}; {DASH} = only in the paper. w, in bold: white-box; "
        f"{_SAME[table.same_network]}; o: oblivious, made on the tested weights without their "
        "defense."
    )


def _table(entries: Sequence[ComparedCell], target: str, table: PaperTable) -> str:
    layout = TableLayout.of(entries, table)
    lines = [
        [row, *(_cell(entry, name, table.unit) for entry, name in layout.cells(row, table))]
        for row in layout.rows
    ]
    return markdown_table([f"{target}: {', '.join(table.rows)}", *layout.heads(table)], lines)


@dataclass(frozen=True)
class TableLayout:
    """The rows and columns of one data set's table.

    Args:
        rows: labels.
        columns: labels, without the measures.
        entries: (row, column) -> entry.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    entries: Mapping[tuple[str, str], ComparedCell]

    @classmethod
    def of(cls, entries: Sequence[ComparedCell], table: PaperTable) -> TableLayout:
        """Lay out the entries of one data set."""
        entry_at = {
            (cell_label(entry.where, table.rows), cell_label(entry.where, table.columns)): entry
            for entry in entries
        }
        rows = dict.fromkeys(row for row, _ in entry_at)
        return cls(tuple(rows), tuple(_ordered(entries, table)), entry_at)

    def heads(self, table: PaperTable) -> list[str]:
        """Return the headings, one for each column and measure."""
        several = len(table.measures) > 1 or not table.columns
        return [_head(column, name, several) for column in self.columns for name in table.measures]

    def cells(self, row: str, table: PaperTable) -> Iterator[tuple[ComparedCell | None, str]]:
        """Yield the entry and the measure of each cell of a row."""
        for column in self.columns:
            for name in table.measures:
                yield self.entries.get((row, column)), name


def cell_label(where: Mapping[str, Any], fields: Sequence[str]) -> str:
    """Return the label of a row or column; "" if no field distinguishes it."""
    words = [_word(field, where.get(field, "")) for field in fields]
    label = ", ".join(word for word in words if word)
    return label or ("clean" if fields else "")


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
    ours, kind, printed = shown_numbers(entry, measure, unit)
    shown = f"**{ours}**" if kind == "white" else ours
    shown = f"{shown} {KINDS[kind]}" if kind else shown
    return f"{shown} [{printed}]" if printed else shown


def shown_numbers(entry: ComparedCell, measure: str, unit: str) -> tuple[str, str, str]:
    """Return our number, its kind of attack, and the paper's number; "" for what is missing."""
    percent = unit == "percent" and measure not in _NUMBERS
    digits, factor = (2, 100) if percent else (3, 1)
    ours = entry.ours.measures.get(measure) if entry.ours else None
    our_text = DASH if ours is None else f"{factor * ours:.{digits}f}"
    kind = entry.ours.kind_of(measure) if entry.ours and ours is not None else ""
    printed = entry.paper.get(measure)
    if printed is None:
        return our_text, kind, ""
    large = printed >= 10 ** (digits + 2)
    return our_text, kind, f"{printed:g}" if large else f"{printed:.{digits + 2}g}"
