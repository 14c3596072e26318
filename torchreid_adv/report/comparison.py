"""What we found beside what a paper printed: the cells of both, matched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torchreid_adv.report.paper import PaperTable

_RANKS = {f"rank{rank}": str(rank) for rank in (1, 5, 10, 20)}


@dataclass(frozen=True)
class Finding:
    """One of our results.

    Args:
        where: what it is of: ``target`` = data set, and the fields of the paper's table.
        measures: by the names of the table, in [0, 1].
        kind: ``white``, ``gray``, ``black`` or ``oblivious``; "" where nothing was attacked.
        clean: the same measures without an attack, where there is one.
        kinds: measure -> kind, for measures of another network than the first.
    """

    where: Mapping[str, Any]
    measures: Mapping[str, float]
    kind: str = ""
    clean: Mapping[str, float] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)

    def kind_of(self, measure: str) -> str:
        """Return the kind of attack behind a measure."""
        return self.kinds.get(measure, self.kind)


@dataclass(frozen=True)
class Entry:
    """A cell of a comparison.

    Args:
        target: our data set.
        where: what it is of, in the fields of the paper's table.
        ours: None where only the paper has it.
        paper: as printed; empty where only we have it.
    """

    target: str
    where: Mapping[str, Any]
    ours: Finding | None
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
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]

    @property
    def targets(self) -> list[str]:
        """Our data sets."""
        return list(dict.fromkeys(entry.target for entry in self.entries))

    def of(self, target: str) -> list[Entry]:
        """Return the entries of one data set."""
        return [entry for entry in self.entries if entry.target == target]


def compare(
    table: PaperTable, findings: Sequence[Finding], *, notes: Iterable[str] = ()
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
    entries = [Entry(cell["target"], cell, None, table.printed(cell)) for cell in table.cells]
    return Comparison(table, tuple(entries), (*notes, *filter(None, [table.note])))


def measured(measures: Mapping[str, Any]) -> dict[str, float]:
    """Return measures of results.json under the names of paper tables.

    Args:
        measures: ``{"mAP", "cmc": {"1", ...}, ...}``, in [0, 1].
    """
    ranks = {name: float(measures["cmc"][rank]) for name, rank in _RANKS.items()}
    return {**ranks, "mAP": float(measures["mAP"])}


def _as_paper(finding: Finding, table: PaperTable) -> Finding:
    """Return a finding whose kinds are called as the paper calls them."""
    names = {"gray": table.same_network}
    kinds = {measure: names.get(kind, kind) for measure, kind in finding.kinds.items()}
    return replace(finding, kind=names.get(finding.kind, finding.kind), kinds=kinds)


def _matched(table: PaperTable, findings: Sequence[Finding], target: str) -> list[Entry]:
    ours = {table.place(f.where): f for f in findings if f.where["target"] == target}
    against = table.target_for(target)
    entries = []
    for cell in table.cells:
        if cell["target"] == against:
            found = ours.pop(table.place(cell), None)
            entries.append(Entry(target, cell, found, table.printed(cell)))
    return [*entries, *(Entry(target, found.where, found, {}) for found in ours.values())]


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
