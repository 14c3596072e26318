"""The tables of the standard evaluation's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torchreid_adv.report.table import Cell, SortableTable, count, rate
from torchreid_adv.report.text import DASH, number, percent
from torchreid_adv.standard.page_text import CHECKS, OWN, TRACKS, is_random, measured, of_attack

RANKS = ("1", "5", "10")
COLUMNS = (
    "mAP", "95 % interval", "Rank-1", "95 % interval", "Rank-5", "Rank-10", "mAP, robust / clean",
)  # fmt: skip


@dataclass(frozen=True)
class Headline:
    """A row of the first table: a condition and its figures, as text."""

    name: str
    note: str
    cells: Sequence[str]


def headlines(result: dict[str, Any]) -> list[Headline]:
    """Return clean, then the robust figures of every track and bound."""
    tracks = result["tracks"]
    clean = next(iter(next(iter(tracks.values())).values()))["clean"]
    rows = [Headline("clean", "no attack", _figures(clean, None, None, None))]
    for track, bounds in tracks.items():
        for eps, facts in bounds.items():
            figures = _figures(
                facts["robust"], facts["interval"], facts["rank1_interval"], facts["map_ratio"]
            )
            rows.append(Headline(f"{TRACKS[track]} attacked, eps {eps}", OWN[track], figures))
    return rows


def _figures(
    facts: dict[str, Any],
    interval: Sequence[float] | None,
    first: Sequence[float] | None,
    ratio: float | None,
) -> list[str]:
    cmc = [percent(facts["cmc"][rank]) for rank in RANKS]
    return [
        percent(facts["mAP"]),
        span(interval),
        cmc[0],
        span(first),
        *cmc[1:],
        number(ratio),
    ]


def span(interval: Sequence[float] | None) -> str:
    """Format an interval of rates; a dash for none."""
    if interval is None:
        return DASH
    low, high = map(percent, interval)
    return f"{low.removesuffix('%')} {DASH} {high}"


DEFENSE = {
    "undefended_clean": "undefended, clean",
    "undefended": "undefended, attacked",
    "oblivious": "oblivious attack",
    "adaptive": "adaptive attack",
    "worst_draw": "lowest of a draw",
}


def defense_table(result: dict[str, Any]) -> tuple[list[str], list[Headline]] | None:
    """Return heads and a row per bound: without the defense, oblivious, adaptive; None without one.

    Of a random defense, the lowest mAP that any attack leaves by a single draw, too.
    """
    if not result["model"]["defense"]:
        return None
    shown = [name for name in DEFENSE if is_random(result) or name != "worst_draw"]
    rows = [
        Headline(f"eps {eps}", "", [percent(facts["defense"][name]) for name in shown])
        for eps, facts in result["tracks"].get("Q", {}).items()
    ]
    return ([DEFENSE[name] for name in shown], rows) if rows else None


def attack_table(facts: dict[str, Any], caption: str) -> SortableTable:
    """Return the attacks of one track and bound, in the order in which they were run."""
    if "galleries" in facts:
        return _galleries(facts, caption)
    columns = (
        "Attack", "Run on", "mAP before", "mAP after", "Rank-1 after", "Worst for",
        "Robust mAP so far",
    )  # fmt: skip
    rows = [
        [
            _attack(name),
            count(own["queries"]),
            rate(own["before"]),
            rate(own["mAP"]),
            rate(own["cmc"]["1"]),
            count(own["won"]),
            rate(own["left"]),
        ]
        for name, own in facts["attacks"].items()
    ]
    return SortableTable(columns, rows, caption)


def _galleries(facts: dict[str, Any], caption: str) -> SortableTable:
    columns = ("Gallery", "mAP", "Rank-1", "Rank-5", "Rank-10", "Chosen for identities")
    rows = [
        [
            _attack(name),
            rate(own["mAP"]),
            *(rate(own["cmc"][rank]) for rank in RANKS),
            count(None if name == "composed" else facts["identities"].get(name, 0)),
        ]
        for name, own in facts["galleries"].items()
    ]
    return SortableTable(columns, rows, caption)


def _attack(name: str) -> Cell:
    return Cell(name, note=of_attack(name)[1])


@dataclass(frozen=True)
class Wins:
    """Who beat whom on how many queries.

    Args:
        names: attacks, rows and columns.
        rows: name of the winner, then per loser (queries, share of the most); None on itself.
    """

    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[int, float] | None]]]


def wins(facts: dict[str, Any]) -> Wins:
    """Return the matrix of one bound."""
    found = facts["wins"]
    most = max((n for row in found.values() for n in row.values()), default=0) or 1
    rows = [
        (name, [None if other == name else (row[other], row[other] / most) for other in found])
        for name, row in found.items()
    ]
    return Wins(list(found), rows)


def check_table(result: dict[str, Any]) -> SortableTable:
    """Return every check: what was asked, measured, allowed, and what came out; flags first."""
    columns = ("Check", "Result", "Measured", "Allowed", "Where")
    order = {"RED": 0, "AMBER": 1}
    found = sorted(result["checks"], key=lambda c: order[c["level"]] if c["raised"] else 2)
    return SortableTable(columns, [_check(check) for check in found], "all checks")


def _check(check: dict[str, Any]) -> list[Cell]:
    asked, of, _ = CHECKS.get(check["name"], ("", "", ""))
    return [
        Cell(check["name"], note=f"{asked} Measured: {of}." if asked else ""),
        Cell(check["level"] if check["raised"] else "passed"),
        Cell(measured(check, check["value"]), check["value"]),
        Cell(allowed(check), check["threshold"]),
        Cell(check["where"] or "model"),
    ]


def allowed(check: dict[str, Any]) -> str:
    """Return how far a check lets things go."""
    limit = measured(check, check["threshold"])
    if limit in ("yes", "no"):
        return limit
    if check["name"] == "NOISE":
        return f"below {limit}"
    low = check["raised"] and check["value"] < check["threshold"]
    return f"at {'least' if low else 'most'} {limit}"


def attacks_known(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the attacks that were run anywhere: name, what it does, what it knows."""
    names: dict[str, None] = {}
    for bounds in result["tracks"].values():
        for facts in bounds.values():
            names |= dict.fromkeys(facts.get("attacks") or facts.get("galleries") or {})
    known = {name: of_attack(name) for name in names if name != "composed"}
    return [(name, does, knows) for name, (knows, does) in known.items()]
