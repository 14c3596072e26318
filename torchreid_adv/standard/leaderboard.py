"""The leaderboard: results of the standard evaluation side by side, as a page and as Markdown."""

from __future__ import annotations

import html
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import write_text
from torchreid_adv.core.manifest import sha256
from torchreid_adv.errors import printable
from torchreid_adv.report.page import environment
from torchreid_adv.report.text import DASH, percent
from torchreid_adv.runs.promises import UNSEEN, WORDS
from torchreid_adv.version import __version__

SHORT = 10  # hex digits of a hash that a table shows
YES, NO = "yes", "no"
UNCHECKED, UNSCORED = "not checked", "not scored"
UNKNOWN = "yes, identities unknown"  # files fit, and the data set is not known here
EXACTLY, CLOSELY = "yes, exactly", "yes, to 0.001"
_ROWS = ("undefended", "oblivious", "adaptive")
_HEADS = (
    *("rank", "model", "clean mAP", "clean Rank-1", "queries attacked, mAP", "95 % interval"),
    *("Rank-1", "gallery attacked, mAP", "95 % interval", "Rank-1", " / ".join(_ROWS)),
    *("worst attacks", "flags", "standard", *WORDS, "parameters", "manifest"),
)


@dataclass(frozen=True)
class Result:
    """A result that was read.

    Args:
        content: of its ``standard.json``, whose seal fits; where it was scored again, the numbers
            that came out.
        place: its folder, as the leaderboard calls it.
        files: ``yes``, ``no``, ``not checked``, or yes but for the identities.
        scored: ``yes`` with how closely, ``no`` or ``not scored``.
        fault: what does not fit.
        note: why it was not checked or scored as it was asked for.
    """

    content: dict[str, Any]
    place: str
    files: str = UNCHECKED
    scored: str = UNSCORED
    fault: str = ""
    note: str = ""

    @property
    def fits(self) -> bool:
        """Whether nothing was found wrong."""
        return NO not in (self.files, self.scored)

    @property
    def words(self) -> tuple[str, str, str]:
        """Whether it is sealed, its files were checked, and it was scored again."""
        return YES, self.files, self.scored


@dataclass(frozen=True)
class Line:
    """One model at one bound.

    Args:
        result: what it is of.
        eps: bound, gray levels.
        rank: place in its group; 0 = none, because a red flag or a fault voids it.
    """

    result: Result
    eps: int
    rank: int = 0

    @property
    def content(self) -> dict[str, Any]:
        """Content of the result."""
        return self.result.content

    def track(self, name: str) -> dict[str, Any] | None:
        """Return the facts of a track at this bound; None where it was not run."""
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
        return red or not self.result.fits

    @property
    def key(self) -> tuple[float, float, str]:
        """What lines are ranked by: robust mAP of queries, then of the gallery, best first."""
        found = [self.track(name) for name in ("Q", "G")]
        queries, gallery = (facts["robust"]["mAP"] if facts else -1.0 for facts in found)
        return -queries, -gallery, self.content["model"]["name"]

    @property
    def defense(self) -> list[float] | None:
        """Robust mAP undefended, oblivious and adaptive; None without a defense."""
        rows = (self.track("Q") or {}).get("defense")
        return [float(rows[name]) for name in _ROWS] if rows else None

    @property
    def worst(self) -> str:
        """Which attack leaves least on most queries, and which gallery was worst."""
        names = (("Q", "best_attack"), ("G", "gallery"))
        found = [str((self.track(track) or {}).get(name, "")) for track, name in names]
        return ", ".join(dict.fromkeys(filter(None, found)))

    @property
    def flags(self) -> str:
        """Names of the flags by level, each once."""
        raised = self.content["flags"]
        names = {
            level: sorted({flag["name"] for flag in raised if flag["level"] == level})
            for level in ("RED", "AMBER")
        }
        return "; ".join(f"{level} {', '.join(own)}" for level, own in names.items() if own)

    @property
    def remarks(self) -> list[str]:
        """What a reader has to know beside the figures."""
        standard = self.content["standard"]
        said = [standard["headline"]] if standard["headline"] else []
        if not standard["called_standard"]:
            said.append(f"not called standard: {'; '.join(standard['reasons'])}")
        if self.result.fault:
            said.append(f"does not fit what is stored: {self.result.fault}")
        if self.result.note:
            said.append(self.result.note)
        return said


@dataclass(frozen=True)
class Group:
    """Lines that may be compared: one data set, one definition, one bound.

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
        """The lines that have none."""
        return [line for line in self.lines if not line.rank]


def groups(results: Sequence[Result]) -> list[Group]:
    """Return results by data set, definition and bound, ranked within each."""
    lines = [
        Line(result, eps)
        for result in results
        for eps in sorted({int(e) for t in result.content["tracks"].values() for e in t})
    ]
    lines.sort(key=_kind)
    found = {kind: sorted(own, key=_order) for kind, own in itertools.groupby(lines, _kind)}
    titles = [_title(own[0]) for own in found.values()]
    return [
        Group(title if titles.count(title) == 1 else f"{title} ({_hash(kind)})", _ranked(own))
        for title, (kind, own) in zip(titles, found.items(), strict=True)
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
    """Give ranks; equal figures share one."""
    done: list[Line] = []
    for place, line in enumerate(lines, start=1):
        tie = bool(done) and done[-1].key[:2] == line.key[:2]
        rank = 0 if line.void else done[-1].rank if tie else place
        done.append(Line(line.result, line.eps, rank))
    return tuple(done)


def write_leaderboard(out: Path, results: Sequence[Result], refused: Sequence[str] = ()) -> Path:
    """Write ``leaderboard.html`` and ``leaderboard.md`` and return the path of the page.

    Args:
        out: folder.
        results: that were read.
        refused: sentences on files that were left out.
    """
    found = groups(results)
    page = environment().get_template("leaderboard.html")
    facts = {"groups": found, "refused": refused, "version": __version__, "count": len(results)}
    facts |= {"words": WORDS, "unseen": UNSEEN}
    write_text(out / "leaderboard.md", markdown(found, refused))
    write_text(out / "leaderboard.html", page.render(facts))
    return out / "leaderboard.html"


def markdown(found: Sequence[Group], refused: Sequence[str] = ()) -> str:
    """Return the leaderboard as Markdown."""
    parts = ["# Robustness leaderboard"]
    if found:
        parts.append("\n".join(f"- {word}: {meaning}." for word, meaning in WORDS.items()))
        parts.append(UNSEEN)
    for group in found:
        rows = ["| " + " | ".join(_HEADS) + " |", "|---" * len(_HEADS) + "|"]
        rows += ["| " + " | ".join(_cells(line)) + " |" for line in group.lines]
        said = [
            f"- {_plain(line.content['model']['name'])} ({_plain(line.result.place)}): "
            f"{_plain(remark)}"
            for line in group.lines
            for remark in line.remarks
        ]
        parts += [
            f"## {_plain(group.title)}",
            "\n".join(rows),
            *(["\n".join(said)] if said else []),
        ]
    if refused:
        parts += ["## Refused", "\n".join(f"- {_plain(one)}" for one in refused)]
    return "\n\n".join(parts) + "\n"


def _cells(line: Line) -> list[str]:
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
    cells += ["yes" if content["standard"]["called_standard"] else "no", *line.result.words]
    parameters = content["model"]["parameters"]
    return [*cells, DASH if parameters is None else f"{parameters:,}", content["manifest"][:SHORT]]


def _plain(text: str) -> str:
    """Return a text that Markdown takes for nothing but a text."""
    shown = html.escape(printable(text)).replace("://", "&#58;//")  # which would become a link
    return re.sub(r"([\\`*_{}\[\]()+!|~@])", r"\\\1", shown)
