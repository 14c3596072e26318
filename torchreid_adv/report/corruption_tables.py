"""What ``corruption-report`` found, as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torchreid_adv.report.table import markdown_table
from torchreid_adv.report.text import percent
from torchreid_adv.report.units import DASH

SETTINGS = {
    "both": "both sides corrupted",
    "query": "queries corrupted",
    "gallery": "gallery corrupted",
}
_DRAWS = (
    "Kind and severity are drawn for each image; mean of {repeats} draws, in brackets their "
    "standard deviation. The interval (95 %) is drawn over identities. "
)
_GRID = (
    "mAP of queries of one kind and severity against the clean gallery. Loss: clean mAP minus the "
    "row's mean. A family's mean counts each of its kinds once."
)
_WORST = (
    "Worst kind: {kind}, {value}. Worst family: {family}, {family_value}. Mean over queries of "
    "each query's worst kind at severity {severity}: {least}; it is a minimum over {count} kinds "
    "and cannot lie above any of them."
)


def page(results: dict[str, Any]) -> str:
    """Return the tables of all data sets as Markdown.

    Args:
        results: what ``corruptions.json`` holds.
    """
    name, targets = results["model"]["name"], results["targets"].items()
    parts = [_target(f"{name} on {target}", found) for target, found in targets]
    return "\n\n".join(parts) + "\n"


def _target(title: str, found: dict[str, Any]) -> str:
    parts = [f"**{title}**", draws_table(found), _said(found)]
    if found["grid"]:
        parts += [grid_table(found), _GRID, _worst(found["worst"])]
    return "\n\n".join(parts)


def _said(found: dict[str, Any]) -> str:
    return _DRAWS.format(repeats=found["repeats"]) + found["corruption"]


def draws_table(found: dict[str, Any]) -> str:
    """Return clean scores and those under the drawn corruptions."""
    rows = [["clean", *_rates(found["clean"])]]
    rows += [[said, *_rates(found["draws"][side])] for side, said in SETTINGS.items()]
    return markdown_table(("images", "mAP", "interval", "mINP", "Rank-1"), rows)


def _rates(scores: dict[str, Any]) -> list[str]:
    """Return mAP, its interval, mINP and Rank-1, with deviations where there are any."""
    spread = scores.get("deviation", {})
    cells = [
        percent(scores[name]) + (f" ({percent(spread[name])})" if spread else "")
        for name in ("mAP", "mINP", "Rank-1")
    ]
    low, high = scores["interval"]
    return [cells[0], f"{percent(low)} to {percent(high)}", *cells[1:]]


def grid_table(found: dict[str, Any]) -> str:
    """Return the mAP of each kind at each severity, families and means between them."""
    grid, clean = found["grid"], found["clean"]["mAP"]
    severities = sorted({severity for cells in grid.values() for severity in cells})
    rows: list[list[str]] = []
    for family, kinds in found["families"].items():
        rows += [_row(kind, [grid[kind].get(s) for s in severities], clean) for kind in kinds]
        if len(kinds) > 1:
            rows.append(_mean(f"{family}, mean", found["family_means"][family], clean, severities))
    if found["grid_mean"] is not None:
        said = f"all {found['published']} kinds, mean"
        rows.append(_mean(said, found["grid_mean"], clean, severities))
    for kind in found["further"]:
        rows.append(_row(kind, [grid[kind].get(s) for s in severities], clean))
    return markdown_table(("kind", *severities, "mean", "loss"), rows)


def _row(kind: str, values: Sequence[float | None], clean: float) -> list[str]:
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known)
    return [kind, *map(percent, values), percent(mean), percent(clean - mean)]


def _mean(said: str, mean: float, clean: float, severities: Sequence[str]) -> list[str]:
    return [f"*{said}*", *[DASH] * len(severities), percent(mean), percent(clean - mean)]


def _worst(worst: dict[str, Any]) -> str:
    return _WORST.format(
        kind=worst["kind"],
        value=percent(worst["kind_mAP"]),
        family=worst["family"],
        family_value=percent(worst["family_mAP"]),
        severity=worst["severity"],
        least=percent(worst["per_query_mAP"]),
        count=worst["kinds"],
    )
