"""The leaderboard: results of the standard evaluation side by side, as a page and as Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import write_text
from torchreid_adv.core.provenance import provenance
from torchreid_adv.errors import printable
from torchreid_adv.report.page import Page, write_page
from torchreid_adv.report.table import ResultTable, TableRow, Value, rate
from torchreid_adv.report.text import number, percent
from torchreid_adv.report.units import DASH
from torchreid_adv.runs.promises import UNSEEN, WORDS
from torchreid_adv.standard.board_columns import card_cells, card_texts
from torchreid_adv.standard.board_lines import ROWS, SHORT, Group, Line, Result, groups
from torchreid_adv.standard.board_sorts import COLUMNS, ROBUST

BANDS = {"Q": "Queries attacked", "G": "Gallery attacked"}  # track -> heading of its columns
RANK_1 = "Rank\N{NON-BREAKING HYPHEN}1"  # a heading that stays on a line
_HEADS = (
    *("rank", "model", "clean mAP", "clean Rank-1", "queries attacked, mAP", "95 % interval"),
    *("Rank-1", "gallery attacked, mAP", "95 % interval", "Rank-1", " / ".join(ROWS)),
    *("worst attacks", "flags", "may be called", *WORDS, "parameters", "manifest"),
)


def write_leaderboard(
    out: Path, results: Sequence[Result], refused: Sequence[str] = (), by: str = ROBUST
) -> Path:
    """Write ``leaderboard.html`` and ``leaderboard.md`` and return the path of the page.

    Args:
        out: folder.
        results: to list.
        refused: sentences on files that were left out.
        by: column that results are ranked by.
    """
    all_groups = groups(results, by)
    count = f"{number(len(results))} {'result' if len(results) == 1 else 'results'}"
    page = Page(
        title="Robustness leaderboard",
        kicker=f"{count} of torchreid-adv standard",
        template="leaderboard.html",
        facts={
            "sortable": True,
            "by": by,
            "boards": [Board.of(group) for group in all_groups],
            "refused": refused,
            "words": WORDS,
            "unseen": UNSEEN,
        },
        provenance=_provenance(),
    )
    write_text(out / "leaderboard.md", markdown(all_groups, refused))
    return write_page(out / "leaderboard.html", page)


def _provenance() -> dict[str, Any]:
    """Return date and versions; a published page does not name the folders of its command."""
    facts = {name: value for name, value in provenance().facts().items() if name != "command"}
    return {**facts, "device": "that of each result"}


@dataclass(frozen=True)
class Board:
    """The tables and details of a group on the page.

    Args:
        title: of the group.
        ranked: table of the ranked models; None if there are none.
        voided: table of the others; None if there are none.
        details: of each model: its name, its place, remarks, and pairs (name, value).
    """

    title: str
    ranked: ResultTable | None
    voided: ResultTable | None
    details: Sequence[tuple[str, str, Sequence[str], Sequence[tuple[str, str]]]]

    @classmethod
    def of(cls, group: Group) -> Board:
        """Lay out a group."""
        ranked, voided = (
            board_table(title, lines) if lines else None
            for title, lines in ((group.title, group.ranked), ("Not ranked", group.voided))
        )
        details = [
            (line.content["model"]["name"], line.result.place, line.remarks, line.details)
            for line in group.lines
        ]
        return cls(group.title, ranked, voided, details)


def board_table(title: str, lines: Sequence[Line]) -> ResultTable:
    """Return lines as a table with grouped headings, without tracks that no line has.

    Args:
        title: of the table.
        lines: one or more.
    """
    tracks = [name for name in BANDS if any(line.track(name) for line in lines)]
    bands = [("", 2), ("Clean", 2), *((BANDS[name], 2) for name in tracks)]
    columns = ["Model", "mAP", RANK_1] + ["mAP", RANK_1] * len(tracks)
    if defended := any(line.defense for line in lines):
        bands.append(("Queries, no defense", 1))
        columns.append("mAP")
    if carded := any(line.result.card for line in lines):
        bands.append(("Corrupted or occluded, mAP", len(COLUMNS)))
        columns += COLUMNS
    rows = [
        TableRow(str(line.rank or DASH), _board_row(line, tracks, defended=defended, carded=carded))
        for line in lines
    ]
    columns += ["May be called", "Flags"]
    bands.append(("", 2))
    return ResultTable(title, columns, rows, head="Rank", bands=bands, sortable=True)


def _board_row(line: Line, tracks: Sequence[str], *, defended: bool, carded: bool) -> list[Value]:
    clean = line.clean
    values: list[Value] = [line.content["model"]["name"], rate(clean["mAP"])]
    values.append(rate(clean["cmc"]["1"]))
    for name in tracks:
        facts = line.track(name)
        if facts is None:
            values += [rate(None), rate(None)]
            continue
        low, high = (percent(end).removesuffix("%") for end in facts["interval"])
        span = f"{low} {DASH} {high}"
        values += [rate(facts["robust"]["mAP"], span, strong=True)]
        values += [rate(facts["robust"]["cmc"]["1"])]
    if defended:
        values.append(rate(line.defense[0] if line.defense else None))
    if carded:
        values += card_cells(line.result.card)
    return [*values, line.called, line.flags or "none"]


def markdown(all_groups: Sequence[Group], refused: Sequence[str] = ()) -> str:
    """Return the leaderboard as Markdown."""
    parts = ["# Robustness leaderboard"]
    if all_groups:
        parts.append("\n".join(f"- {word}: {meaning}." for word, meaning in WORDS.items()))
        parts.append(UNSEEN)
    for group in all_groups:
        carded = any(line.result.card for line in group.lines)
        heads = [*_HEADS, *(COLUMNS if carded else ())]
        rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        rows += ["| " + " | ".join(_cells(line, carded=carded)) + " |" for line in group.lines]
        remarks = [
            f"- {_plain(line.content['model']['name'])} ({_plain(line.result.place)}): "
            f"{_plain(remark)}"
            for line in group.lines
            for remark in line.remarks
        ]
        parts += [
            f"## {_plain(group.title)}",
            "\n".join(rows),
            *(["\n".join(remarks)] if remarks else []),
        ]
    if refused:
        parts += ["## Refused", "\n".join(f"- {_plain(reason)}" for reason in refused)]
    return "\n\n".join(parts) + "\n"


def _cells(line: Line, *, carded: bool) -> list[str]:
    content, cells = line.content, [str(line.rank or DASH), _plain(line.content["model"]["name"])]
    cells += [percent(line.clean["mAP"]), percent(line.clean["cmc"]["1"])]
    for track in ("Q", "G"):
        facts = line.track(track)
        if facts is None:
            cells += [DASH] * 3
            continue
        span = " to ".join(percent(end) for end in facts["interval"])
        cells += [percent(facts["robust"]["mAP"]), span, percent(facts["robust"]["cmc"]["1"])]
    cells.append(" / ".join(map(percent, line.defense)) if line.defense else DASH)
    cells += [_plain(line.worst) or DASH, _plain(line.flags) or "none"]
    cells += [_plain(line.called), *line.result.words]
    parameters = content["model"]["parameters"]
    cells += [DASH if parameters is None else f"{parameters:,}", content["manifest"][:SHORT]]
    return [*cells, *(card_texts(line.result.card) if carded else ())]


def _plain(text: str) -> str:
    """Return a text with all Markdown and HTML markup escaped."""
    shown = html.escape(printable(text)).replace("://", "&#58;//")  # which would become a link
    return re.sub(r"([\\`*_{}\[\]()+!|~@])", r"\\\1", shown)
