"""The tables of the standard evaluation's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torchreid_adv.report.table import Cell, ResultTable, TableRow, Value, count, rate
from torchreid_adv.report.text import number, percent
from torchreid_adv.report.units import DASH
from torchreid_adv.standard.page_text import CHECKS, OWN, TRACKS, is_random, measured, of_attack

RANKS = ("1", "5", "10")
COLUMNS = (
    "mAP", "95 % interval", "Rank-1", "95 % interval", "Rank-5", "Rank-10", "mAP, robust / clean",
)  # fmt: skip


def headlines(result: dict[str, Any]) -> ResultTable:
    """Return the clean numbers, then the robust numbers of every track and bound."""
    tracks = result["tracks"]
    clean = next(iter(next(iter(tracks.values())).values()))["clean"]
    rows = [TableRow("clean", _figures(clean, None, None, None), "no attack")]
    for track, bounds in tracks.items():
        for eps, facts in bounds.items():
            figures = _figures(
                facts["robust"], facts["interval"], facts["rank1_interval"], facts["map_ratio"]
            )
            name = f"{TRACKS[track]} attacked, eps {eps}"
            rows.append(TableRow(name, figures, OWN[track]))
    return ResultTable("Clean and robust numbers", COLUMNS, rows)


def _figures(
    facts: dict[str, Any],
    interval: Sequence[float] | None,
    first: Sequence[float] | None,
    ratio: float | None,
) -> list[Value]:
    cmc = [facts["cmc"][rank] for rank in RANKS]
    spans = [Cell(span(ends), "" if ends is None else ends[0]) for ends in (interval, first)]
    share = Cell(number(ratio), "" if ratio is None else ratio)
    return [facts["mAP"], spans[0], cmc[0], spans[1], *cmc[1:], share]


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


def defense_table(result: dict[str, Any]) -> ResultTable | None:
    """Return a row per bound: without the defense, oblivious, adaptive; None without a defense.

    For a random defense, also the lowest mAP under any attack with a single draw.
    """
    if not result["model"]["defense"]:
        return None
    shown = [name for name in DEFENSE if is_random(result) or name != "worst_draw"]
    rows = [
        TableRow(f"eps {eps}", [rate(facts["defense"][name]) for name in shown])
        for eps, facts in result["tracks"].get("Q", {}).items()
    ]
    title = "Effect of the defense: mAP of attacked queries"
    return ResultTable(title, [DEFENSE[name] for name in shown], rows) if rows else None


def attack_table(facts: dict[str, Any], title: str) -> ResultTable:
    """Return the attacks of one track and bound, in the order in which they were run."""
    if "galleries" in facts:
        return _galleries(facts, title)
    columns = (
        "Run on", "mAP before", "mAP after", "Rank-1 after", "Worst for", "Robust mAP so far",
    )  # fmt: skip
    rows = [
        TableRow(
            name,
            [
                count(scores["queries"]),
                rate(scores["before"]),
                rate(scores["mAP"]),
                rate(scores["cmc"]["1"]),
                count(scores["won"]),
                rate(scores["left"]),
            ],
            _does(name),
        )
        for name, scores in facts["attacks"].items()
    ]
    return ResultTable(title, columns, rows, head="Attack", sortable=True)


def _galleries(facts: dict[str, Any], title: str) -> ResultTable:
    columns = ("mAP", "Rank-1", "Rank-5", "Rank-10", "Chosen for identities")
    rows = [
        TableRow(
            name,
            [
                rate(scores["mAP"]),
                *(rate(scores["cmc"][rank]) for rank in RANKS),
                count(None if name == "composed" else facts["identities"].get(name, 0)),
            ],
            _does(name),
        )
        for name, scores in facts["galleries"].items()
    ]
    return ResultTable(title, columns, rows, head="Gallery", sortable=True)


def _does(name: str) -> str:
    return of_attack(name)[1]


@dataclass(frozen=True)
class Wins:
    """Number of queries on which one attack left less than another.

    Args:
        names: attacks, rows and columns.
        rows: name of the stronger attack, then for each other attack (queries, share of the
            largest number); None on the diagonal.
    """

    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[int, float] | None]]]


def wins(facts: dict[str, Any]) -> Wins:
    """Return the matrix of one bound."""
    matrix = facts["wins"]
    most = max((n for row in matrix.values() for n in row.values()), default=0) or 1
    rows = [
        (name, [None if other == name else (row[other], row[other] / most) for other in matrix])
        for name, row in matrix.items()
    ]
    return Wins(list(matrix), rows)


def check_table(result: dict[str, Any]) -> ResultTable:
    """Return every check: its question, measured and allowed value, and result; flags first."""
    columns = ("Result", "Measured", "Allowed", "Where")
    order = {"RED": 0, "AMBER": 1}
    checks = sorted(result["checks"], key=lambda c: order[c["level"]] if c["raised"] else 2)
    rows = [_check(check) for check in checks]
    return ResultTable("All checks", columns, rows, head="Check", sortable=True)


def _check(check: dict[str, Any]) -> TableRow:
    asked, of, _ = CHECKS.get(check["name"], ("", "", ""))
    values = [
        Cell(check["level"] if check["raised"] else "passed"),
        Cell(measured(check, check["value"]), check["value"]),
        Cell(allowed(check), check["threshold"]),
        Cell(check["where"] or "model"),
    ]
    return TableRow(check["name"], values, f"{asked} Measured: {of}." if asked else "")


def allowed(check: dict[str, Any]) -> str:
    """Return the allowed range of a check's value."""
    limit = measured(check, check["threshold"])
    if limit in ("yes", "no"):
        return limit
    if check["name"] == "NOISE":
        return f"below {limit}"
    low = check["raised"] and check["value"] < check["threshold"]
    return f"at {'least' if low else 'most'} {limit}"


def attacks_known(result: dict[str, Any]) -> ResultTable:
    """Return the attacks that were run: name, method, knowledge."""
    names: dict[str, None] = {}
    for bounds in result["tracks"].values():
        for facts in bounds.values():
            names |= dict.fromkeys(facts.get("attacks") or facts.get("galleries") or {})
    known = {name: of_attack(name) for name in names if name != "composed"}
    rows = [TableRow(name, (does, knows)) for name, (knows, does) in known.items()]
    return ResultTable("Attacks", ("What it does", "What it knows"), rows, head="Attack")
