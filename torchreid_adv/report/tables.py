"""The table of measures: one row per condition, one column per measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torchreid_adv.report.words import percent

COLUMNS = ("mAP", "mINP", "Rank-1", "Rank-5", "Rank-10", "Rank-20")


@dataclass(frozen=True)
class Row:
    """One condition: its name, a word of explanation, its cells in the order of the columns."""

    name: str
    note: str
    cells: list[str]


@dataclass(frozen=True)
class Group:
    """Rows that belong together: the undefended model, re-ranking, a defense."""

    title: str
    rows: list[Row]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Column heads and groups of rows."""

    columns: tuple[str, ...]
    groups: list[Group]


def measures(results: dict[str, Any]) -> Table:
    """Lay out the measures of one data set.

    Args:
        results: ``results.json["targets"][name]``.
    """
    kinds = [
        ("clean", "no attack"),
        ("adversarial", "stored files"),
        ("adversarial_float", "before rounding to files"),
    ]
    rows = [(kind.split("_")[0], note, results.get(kind)) for kind, note in kinds]
    groups = [Group("Undefended", [_row(*row) for row in rows])]
    reranked = [(name, note, (found or {}).get("rerank")) for name, note, found in rows]
    if any(found for _, _, found in reranked):
        groups.append(Group("With re-ranking", [_row(*row) for row in reranked if row[2]]))
    if results.get("defense"):
        groups.append(_defense(results["defense"]))
    return Table(COLUMNS, groups)


def _defense(defense: dict[str, Any]) -> Group:
    rows = [
        _row("clean", "no attack", defense.get("clean")),
        _row("oblivious", "attack that does not know of it", defense.get("oblivious")),
        _row("adaptive", "attack made through it", defense.get("adaptive")),
    ]
    draws = defense.get("draws")
    notes = [] if defense.get("adaptive") else [str(defense.get("adaptive_reason") or "")]
    if draws:
        notes.append(
            f"{draws['n']} random draws: mAP deviates by {percent(draws['std'])}, "
            f"the worst is {percent(draws['worst'])}"
        )
    return Group(f"Behind {defense['name']}", rows, "; ".join(note for note in notes if note))


def _row(name: str, note: str, found: dict[str, Any] | None) -> Row:
    found = found or {}
    cmc = found.get("cmc") or {}
    values = [found.get("mAP"), found.get("mINP"), *(cmc.get(k) for k in ("1", "5", "10", "20"))]
    return Row(name, note, [percent(value) for value in values])
