"""Lines of the leaderboard: results of the standard evaluation in comparable groups, ranked."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torchreid_adv.core.manifest import sha256
from torchreid_adv.report.text import percent
from torchreid_adv.report.units import DASH
from torchreid_adv.runs.promises import WORDS
from torchreid_adv.standard.board_columns import Card
from torchreid_adv.standard.board_sorts import ROBUST

SHORT = 10  # hex digits of a hash that a table shows
YES, NO = "yes", "no"
UNCHECKED, UNSCORED = "not checked", "not scored"
UNKNOWN = "yes, identities unknown"  # the files match, but the data set is not known here
EXACTLY, CLOSELY = "yes, exactly", "yes, to 0.001"
ROWS = ("undefended", "oblivious", "adaptive")


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
        return [float(rows[name]) for name in ROWS] if rows else None

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
            *([(" / ".join(ROWS), defended)] if defended else []),
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
