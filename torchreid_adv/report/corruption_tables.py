"""The results of ``corruption-report`` as tables and sentences."""

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
    "Kind and severity are drawn for each image; mean of {repeats} draws, with their standard "
    "deviation in brackets. The interval (95 %) is a bootstrap over identities. "
)
_GRID = (
    "mAP of queries of one kind and severity against the clean gallery. Loss: clean mAP minus the "
    "row's mean. A family's mean counts every kind once."
)
_WORST = (
    "Worst kind: {kind}, {value}. Worst family: {family}, {family_value}. Mean over queries of "
    "each query's worst kind at severity {severity}: {least}; as a minimum over {count} kinds, it "
    "cannot be above any of them."
)


def page(results: dict[str, Any]) -> str:
    """Return the tables of all data sets as Markdown.

    Args:
        results: content of ``corruptions.json``.
    """
    name, targets = results["model"]["name"], results["targets"].items()
    parts = [_target(f"{name} on {target}", target_results) for target, target_results in targets]
    return "\n\n".join(parts) + "\n"


def _target(title: str, results: dict[str, Any]) -> str:
    parts = [f"**{title}**", draws_table(results), _draws_sentence(results)]
    if results["grid"]:
        parts += [grid_table(results), _GRID, _worst(results["worst"])]
    return "\n\n".join(parts)


def _draws_sentence(results: dict[str, Any]) -> str:
    return _DRAWS.format(repeats=results["repeats"]) + results["corruption"]


def draws_table(results: dict[str, Any]) -> str:
    """Return clean scores and those under the drawn corruptions."""
    rows = [["clean", *_rates(results["clean"])]]
    rows += [[setting, *_rates(results["draws"][side])] for side, setting in SETTINGS.items()]
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


def grid_table(results: dict[str, Any]) -> str:
    """Return the mAP of each kind at each severity, families and means between them."""
    grid, clean = results["grid"], results["clean"]["mAP"]
    severities = sorted({severity for cells in grid.values() for severity in cells})
    rows: list[list[str]] = []
    for family, kinds in results["families"].items():
        rows += [_row(kind, [grid[kind].get(s) for s in severities], clean) for kind in kinds]
        if len(kinds) > 1:
            rows.append(
                _mean(f"{family}, mean", results["family_means"][family], clean, severities)
            )
    if results["grid_mean"] is not None:
        title = f"all {results['published']} kinds, mean"
        rows.append(_mean(title, results["grid_mean"], clean, severities))
    for kind in results["further"]:
        rows.append(_row(kind, [grid[kind].get(s) for s in severities], clean))
    return markdown_table(("kind", *severities, "mean", "loss"), rows)


def _row(kind: str, values: Sequence[float | None], clean: float) -> list[str]:
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known)
    return [kind, *map(percent, values), percent(mean), percent(clean - mean)]


def _mean(title: str, mean: float, clean: float, severities: Sequence[str]) -> list[str]:
    return [f"*{title}*", *[DASH] * len(severities), percent(mean), percent(clean - mean)]


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
