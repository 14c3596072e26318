"""How a run ends: results.json, the report, the exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.commands.defended import ADAPTIVE
from torchreid_adv.errors import PARTIAL
from torchreid_adv.jobs.files import sweep, write_text
from torchreid_adv.jobs.team import ALONE, Team
from torchreid_adv.report.target import TargetReport, write_report
from torchreid_adv.version import __version__

SCHEMA = 1


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        report: its page, or results.json where none is wanted.
        exit_code: 0, or 4 when bad images were left out.
    """

    report: Path
    exit_code: int


def finish(
    out: Path,
    results: dict[str, Any],
    targets: Sequence[TargetReport],
    team: Team = ALONE,
    *,
    page: bool = True,
) -> Outcome:
    """Write results.json and, with ``page``, the report, once."""
    results = {"schema": SCHEMA, "version": __version__, **results}
    results["targets"] = {target.name: target.results for target in targets}
    left_out = any(target.results["images"]["left_out"] for target in targets)
    wanted = out / ("report.html" if page else "results.json")
    outcome = Outcome(wanted, PARTIAL if left_out else 0)
    if team.leads:
        write_text(out / "results.json", json.dumps(results, indent=1) + "\n")
        if page:
            write_report(out, results, targets)
        parts = (".job", ".job/adaptive", "adversarial", ADAPTIVE)
        below = [out / target.name / part for target in targets for part in parts]
        for folder in (out, out / "figures", *below):
            sweep(folder)
    team.wait()
    return outcome
