"""The leaderboard: results of the standard evaluation side by side, as a page and as Markdown."""

from __future__ import annotations

import html
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import write_text
from torchreid_adv.core.manifest import sha256
from torchreid_adv.core.provenance import provenance
from torchreid_adv.errors import printable
from torchreid_adv.report.page import Page, write_page
from torchreid_adv.report.table import ResultTable, TableRow, Value, rate
from torchreid_adv.report.text import number, percent
from torchreid_adv.report.units import DASH
from torchreid_adv.runs.promises import UNSEEN, WORDS
from torchreid_adv.standard.board_columns import Card, card_cells, card_texts
from torchreid_adv.standard.board_sorts import COLUMNS, ROBUST

SHORT = 10  # hex digits of a hash that a table shows
YES, NO = "yes", "no"
UNCHECKED, UNSCORED = "not checked", "not scored"
UNKNOWN = "yes, identities unknown"  # the files match, but the data set is not known here
EXACTLY, CLOSELY = "yes, exactly", "yes, to 0.001"
BANDS = {"Q": "Queries attacked", "G": "Gallery attacked"}  # track -> heading of its columns
RANK_1 = "Rank\N{NON-BREAKING HYPHEN}1"  # a heading that stays on a line
_ROWS = ("undefended", "oblivious", "adaptive")
_HEADS = (
    *("rank", "model", "clean mAP", "clean Rank-1", "queries attacked, mAP", "95 % interval"),
    *("Rank-1", "gallery attacked, mAP", "95 % interval", "Rank-1", " / ".join(_ROWS)),
    *("worst attacks", "flags", "may be called", *WORDS, "parameters", "manifest"),
)


@dataclass(frozen=True)
class Result:
    """A result and its verification.

    Args:
        content: of its ``standard.json``, whose seal is valid; if it was scored again, with the
            recomputed numbers.
        place: its folder, as the leaderboard shows it.
        files: ``yes``, ``no``, ``not checked``, or yes except for the identities.
        scored: ``yes`` with the precision, ``no`` or ``not scored``.
        fault: the first mismatch.
        note: why a requested check or scoring was not done.
        card: further measures, from the robustness card in the same folder; empty without a card.
    """

    content: dict[str, Any]
    place: str
    files: str = UNCHECKED
    scored: str = UNSCORED
    fault: str = ""
    note: str = ""
    card: Card = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether no check failed."""
        return NO not in (self.files, self.scored)

    @property
    def words(self) -> tuple[str, str, str]:
        """Whether it is sealed, its files were checked, and it was scored again."""
        return YES, self.files, self.scored


@dataclass(frozen=True)
class Line:
    """One model at one bound.

    Args:
        result: of the model.
        eps: bound, gray levels.
        rank: place in its group; 0 = none, because a red flag or a fault voids it, or because it
            has no number of that column.
        by: column that lines are ranked by, one of :data:`board_sorts.SORTS`.
    """

    result: Result
    eps: int
    rank: int = 0
    by: str = ROBUST

    @property
    def content(self) -> dict[str, Any]:
        """Content of the result."""
        return self.result.content

    def track(self, name: str) -> dict[str, Any] | None:
        """Return the facts of a track at this bound; None if it was not run."""
        facts: dict[str, Any] | None = self.content["tracks"].get(name, {}).get(str(self.eps))
        return facts

    @property
    def clean(self) -> dict[str, Any]:
        """Measures without an attack."""
        facts = self.track("Q") or self.track("G")
        assert facts is not None
        clean: dict[str, Any] = facts["clean"]
        return clean

    @property
    def void(self) -> bool:
        """Whether it is not ranked."""
        red = any(flag["level"] == "RED" for flag in self.content["flags"])
        return red or not self.result.fits or self.value is None

    @property
    def value(self) -> float | None:
        """The number of the column that lines are ranked by; None where it has none."""
        if self.by == "clean":
            return float(self.clean["mAP"])
        if self.by in (ROBUST, "gallery"):
            facts = self.track("G" if self.by == "gallery" else "Q")
            missing = -1.0 if self.by == ROBUST else None
            return float(facts["robust"]["mAP"]) if facts else missing
        measure = self.result.card.get(self.by.replace("-", " "))
        return None if measure is None else measure.value

    @property
    def key(self) -> tuple[float, float, str]:
        """Sort key of lines: the column they are ranked by, then the gallery or the queries."""
        second = self.track("G" if self.by == ROBUST else "Q")
        tie_breaker = second["robust"]["mAP"] if second else -1.0
        value = -1.0 if self.value is None else self.value
        return -value, -tie_breaker, self.content["model"]["name"]

    @property
    def defense(self) -> list[float] | None:
        """Robust mAP undefended, oblivious and adaptive; None without a defense."""
        rows = (self.track("Q") or {}).get("defense")
        return [float(rows[name]) for name in _ROWS] if rows else None

    @property
    def called(self) -> str:
        """The name that the result may use: that of its evaluation, or ``no``."""
        standard = self.content["standard"]
        return str(standard["name"]) if standard["called_standard"] else NO

    @property
    def details(self) -> list[tuple[str, str]]:
        """The folded details below the table: pairs (name, value)."""
        content, parameters = self.content, self.content["model"]["parameters"]
        defended = " / ".join(map(percent, self.defense)) if self.defense else ""
        return [
            *zip(WORDS, self.result.words, strict=True),
            ("worst attacks", self.worst or DASH),
            *([(" / ".join(_ROWS), defended)] if defended else []),
            ("parameters", DASH if parameters is None else f"{parameters:,}"),
            ("manifest", content["manifest"][:SHORT]),
            ("written by", f"torchreid_adv {content['version']}"),
        ]

    @property
    def worst(self) -> str:
        """The attack that leaves least on most queries, and the worst gallery."""
        names = (("Q", "best_attack"), ("G", "gallery"))
        worst_names = [str((self.track(track) or {}).get(name, "")) for track, name in names]
        return ", ".join(dict.fromkeys(filter(None, worst_names)))

    @property
    def flags(self) -> str:
        """Names of the flags by level, each once."""
        raised = self.content["flags"]
        names = {
            level: sorted({flag["name"] for flag in raised if flag["level"] == level})
            for level in ("RED", "AMBER")
        }
        return "; ".join(
            f"{level} {', '.join(level_names)}"
            for level, level_names in names.items()
            if level_names
        )

    @property
    def remarks(self) -> list[str]:
        """Sentences that a reader must know in addition to the numbers."""
        standard = self.content["standard"]
        remarks = [standard["headline"]] if standard["headline"] else []
        if not standard["called_standard"]:
            remarks.append(f"not called standard: {'; '.join(standard['reasons'])}")
        if self.result.fault:
            remarks.append(f"does not match the stored files: {self.result.fault}")
        if self.result.note:
            remarks.append(self.result.note)
        return remarks


@dataclass(frozen=True)
class Group:
    """Comparable lines: one data set, one definition, one bound.

    Args:
        title: in words.
        lines: ranked ones first, best first.
    """

    title: str
    lines: tuple[Line, ...]

    @property
    def ranked(self) -> list[Line]:
        """The lines that have a rank."""
        return [line for line in self.lines if line.rank]

    @property
    def voided(self) -> list[Line]:
        """The lines without a rank."""
        return [line for line in self.lines if not line.rank]


def groups(results: Sequence[Result], by: str = ROBUST) -> list[Group]:
    """Return results by data set, definition and bound, ranked within each.

    Args:
        results: that were read.
        by: column that they are ranked by, one of :data:`board_sorts.SORTS`.
    """
    lines = [
        Line(result, eps, by=by)
        for result in results
        for eps in sorted({int(e) for t in result.content["tracks"].values() for e in t})
    ]
    lines.sort(key=_kind)
    lines_of_kind = {
        kind: sorted(same_kind, key=_order) for kind, same_kind in itertools.groupby(lines, _kind)
    }
    titles = [_title(same_kind[0]) for same_kind in lines_of_kind.values()]
    return [
        Group(title if titles.count(title) == 1 else f"{title} ({_hash(kind)})", _ranked(same_kind))
        for title, (kind, same_kind) in zip(titles, lines_of_kind.items(), strict=True)
    ]


def _kind(line: Line) -> tuple[str, str, int, str, str]:
    data, standard = line.content["data"], line.content["standard"]
    definition = json.dumps(standard["definition"], sort_keys=True)
    return data["name"], standard["name"], -line.eps, data["listing"], definition


def _order(line: Line) -> tuple[bool, tuple[float, float, str], str]:
    return line.void, line.key, line.result.place


def _title(line: Line) -> str:
    return f"{line.content['data']['name']}, {line.content['standard']['name']}, eps {line.eps}"


def _hash(kind: tuple[Any, ...]) -> str:
    return sha256(repr(kind).encode())[:SHORT]


def _ranked(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Assign ranks; equal numbers share a rank."""
    ranked: list[Line] = []
    for place, line in enumerate(lines, start=1):
        tie = bool(ranked) and ranked[-1].key[:2] == line.key[:2]
        rank = 0 if line.void else ranked[-1].rank if tie else place
        ranked.append(replace(line, rank=rank))
    return tuple(ranked)


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
