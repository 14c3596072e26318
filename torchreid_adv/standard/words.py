"""A result of the standard evaluation in words, for the console."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TRACKS = {"Q": "queries attacked", "G": "gallery attacked"}


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Yield a result's table, its flags, and what it may be called.

    Args:
        result: what ``standard.json`` holds.
    """
    model, data = result["model"]["name"], result["data"]["name"]
    yield f"** {result['standard']['name']}: {model} on {data} **"
    if result["standard"]["headline"]:
        yield result["standard"]["headline"]
    yield f"{'':<28}{'mAP':>7}{'95 % interval':>17}{'Rank-1':>9}{'Rank-5':>9}{'Rank-10':>9}"
    clean = next(iter(next(iter(result["tracks"].values())).values()))["clean"]
    yield _row("clean", clean, None)
    for track, bounds in result["tracks"].items():
        for eps, facts in bounds.items():
            yield _row(f"{TRACKS[track]}, eps {eps}", facts["robust"], facts["interval"])
            yield from _defense(facts.get("defense"))
    for track, bounds in result["tracks"].items():
        for eps, facts in bounds.items():
            yield from _attacks(f"{track}, eps {eps}", facts)
    for flag in result["flags"]:
        where = f" ({flag['where']})" if flag["where"] else ""
        yield f"{flag['level']} {flag['name']}{where}: {flag['meaning']}: {flag['value']:.4g}"
    yield _last(result["standard"])


def _row(name: str, facts: dict[str, Any], interval: list[float] | None) -> str:
    span = f"{_percent(interval[0])} to {_percent(interval[1])}" if interval else ""
    ranks = "".join(f"{_percent(facts['cmc'][k]):>9}" for k in ("1", "5", "10"))
    return f"{name:<28}{_percent(facts['mAP']):>7}{span:>17}{ranks}"


def _defense(rows: dict[str, Any] | None) -> Iterator[str]:
    if rows:
        yield (
            f"  mAP undefended {_percent(rows['undefended'])}, behind the defense: oblivious "
            f"{_percent(rows['oblivious'])}, adaptive {_percent(rows['adaptive'])}"
        )


def _attacks(where: str, facts: dict[str, Any]) -> Iterator[str]:
    if "galleries" in facts:
        found = ", ".join(f"{n} {_percent(g['mAP'])}" for n, g in facts["galleries"].items())
        yield f"{where}: mAP of whole galleries: {found}"
        return
    yield f"{where}: attack: queries it was run on, mAP before and after, queries it is worst for"
    for name, own in facts["attacks"].items():
        change = f"{_percent(own['before'])} to {_percent(own['mAP'])}"
        yield f"  {name:<12}{own['queries']:>7}  {change:<17}{own['won']:>6}"


def _last(standard: dict[str, Any]) -> str:
    name = standard["name"]
    if standard["escalated"]:
        name += f", run with the budgets of {standard['escalated']}"
    if standard["called_standard"]:
        return f"Called {name}."
    return f"Not to be called {name}: {'; '.join(standard['reasons'])}."


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"
