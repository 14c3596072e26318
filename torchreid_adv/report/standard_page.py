"""The page of the standard evaluation: one file that a reviewer reads in five minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torchreid_adv.jobs.files import write_text
from torchreid_adv.report import standard_tables as tables
from torchreid_adv.report import standard_words as said
from torchreid_adv.report import words
from torchreid_adv.report.charts import to_png
from torchreid_adv.report.curves import bounds_figure
from torchreid_adv.report.page import environment
from torchreid_adv.report.standard_view import View


def write_standard_page(
    path: Path,
    facts: Mapping[str, Any],
    views: Sequence[View],
    *,
    settings: Mapping[str, Any],
    command: str = "",
    verify: Sequence[str] = (),
) -> Path:
    """Write the page and return its path.

    Args:
        path: of the page.
        facts: content of ``standard.json``.
        views: pictures, a track each.
        settings: the config.
        command: that makes the run again, "" where it was none.
        verify: commands that hold stored images against their originals.
    """
    content = dict(facts)
    track, eps, main = said.main_result(content)
    template = environment().get_template("standard.html")
    text = template.render(
        facts=content,
        views=views,
        command=command,
        verify=verify,
        config=words.config_lines(dict(settings)),
        main={"track": track, "eps": eps, "facts": main},
        name=said.name_of(content),
        headline=said.headline(content),
        breaking=said.breaking(content),
        defense=said.defense_sentence(content),
        track_names=said.TRACKS,
        span=tables.span,
        columns=tables.COLUMNS,
        headlines=tables.headlines(content),
        defense_table=tables.defense_table(content),
        images={"curve": to_png(_curve(content))},
        asked=said.CHECKS,
        measured=said.measured,
        allowed=tables.allowed,
        checks=tables.check_table(content),
        attacks=_places(content, tables.attack_table),
        wins=_wins(content),
        threat=said.threat(content),
        ensemble=tables.attacks_known(content),
        draws=content["standard"]["definition"]["draws"] if said.is_random(content) else 1,
        contents=_contents(content, views),
    )
    write_text(path, text)
    return path


def _places(facts: dict[str, Any], table: Any) -> list[Any]:
    """Return a table of each track and bound."""
    return [
        table(found, f"{said.TRACKS[track].capitalize()} attacked, eps {eps}")
        for track, bounds in facts["tracks"].items()
        for eps, found in bounds.items()
    ]


def _wins(facts: dict[str, Any]) -> list[tuple[str, tables.Wins]]:
    bounds = facts["tracks"].get("Q", {})
    found = [(f"Queries attacked, eps {eps}", tables.wins(own)) for eps, own in bounds.items()]
    return [(title, table) for title, table in found if len(table.names) > 1]


def _curve(facts: dict[str, Any]) -> Any:
    """Draw the curve of the sample, and the robust figures of all queries."""
    lines = {
        name: {int(bound): value for bound, value in facts["curve"][key].items()}
        for name, key in (("mAP", "curve"), ("Rank-1", "rank1"))
    }
    points = {
        f"mAP, {said.TRACKS[track]} attacked by the ensemble": {
            int(eps): own["robust"]["mAP"] for eps, own in bounds.items()
        }
        for track, bounds in facts["tracks"].items()
    }
    return bounds_figure(lines, points, facts["curve"]["chance"])


def _contents(facts: dict[str, Any], views: Sequence[View]) -> list[tuple[str, str]]:
    found = [
        ("figures", "Figures"), ("curve", "Over the bound"), ("checks", "Checks"),
        ("attacks", "Attacks"),
    ]  # fmt: skip
    if _wins(facts):
        found.append(("wins", "Who beat whom"))
    for view in views:
        of = f" ({said.TRACKS[view.track]})" if len(views) > 1 else ""
        found += [
            (f"worst-{view.track}", f"Worst lists{of}"),
            (f"attention-{view.track}", f"Attention{of}"),
            (f"features-{view.track}", f"Features{of}"),
        ]
    return [*found, ("threat", "Threat model"), ("reproduce", "Reproduce")]
