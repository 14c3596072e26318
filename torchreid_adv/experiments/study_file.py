"""``study.json``: the results of a study as plain data, written and read back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torchreid_adv.core.files import write_text
from torchreid_adv.errors import ConfigError
from torchreid_adv.experiments.claims import Case, Claim, Reading

NAME = "study.json"
FORMAT = 2  # format 1 had comparisons without effects, and no format number
_AGAIN = "run the study again, which reuses its trained networks"


@dataclass(frozen=True)
class StudyFile:
    """The results of a study.

    Args:
        study: its name.
        config: all keys, nested.
        readings: its values.
        cases: of its claims.
        calibrated: the calibration of its networks, as plain data; {} without claims.
        finished: number of its runs that are finished.
        planned: number of its runs; 0 = not recorded, all of them are finished.
    """

    study: str
    config: Mapping[str, Any]
    readings: Sequence[Reading] = ()
    cases: Sequence[Case] = ()
    calibrated: Mapping[str, Any] = field(default_factory=dict)
    finished: int = 0
    planned: int = 0

    @property
    def unfinished(self) -> str:
        """How many of its runs are finished, in words; "" if all are."""
        if self.finished >= self.planned:
            return ""
        return f"only {self.finished} of {self.planned} runs are finished"


def write_study(folder: Path, result: StudyFile, verdicts: Sequence[Mapping[str, Any]]) -> None:
    """Write ``study.json``.

    Args:
        folder: of the study.
        result: to write.
        verdicts: on its claims; they are recomputed when the file is read.
    """
    content = {
        "format": FORMAT,
        "study": result.study,
        "config": result.config,
        "runs": {"finished": result.finished, "planned": result.planned},
        "calibrated": result.calibrated,
        "verdicts": verdicts,
        "cases": [{**asdict(case), "claim": case.claim.sentence} for case in result.cases],
        "readings": [asdict(reading) for reading in result.readings],
    }
    write_text(folder / NAME, json.dumps(_without_nan(content), indent=1) + "\n")


def _without_nan(content: Any) -> Any:
    """Return plain values with None in place of NaN, which JSON does not have."""
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_study(path: Path, claims: Sequence[Claim] = ()) -> StudyFile:
    """Read a ``study.json``.

    A file of an earlier version is accepted only if it has no comparisons.

    Args:
        path: of the file.
        claims: of the study; cases of other claims are refused. Without any, cases are left out.

    Raises:
        ConfigError: it cannot be read, or another version wrote it.
    """
    content = _content(path)
    written = content.get("format", 1)
    if written > FORMAT:
        raise ConfigError(f"a later version of this package wrote '{path}'; update it to read this")
    if written < FORMAT and content.get("comparisons"):
        raise ConfigError(
            f"an earlier version wrote '{path}', whose comparisons have no separate runs for an "
            f"interval; {_AGAIN}"
        )
    return StudyFile(
        str(content["study"]),
        content["config"],
        [_reading(reading) for reading in content.get("readings", ())],
        _cases(content.get("cases", ()), claims, path) if claims else (),
        content.get("calibrated", {}),
        **content.get("runs", {}),
    )


def finished_runs(folder: Path) -> float:
    """Return how many runs the ``study.json`` of a folder has; infinity for all, 0 without one."""
    try:
        content = _content(folder / NAME)
    except ConfigError:
        return 0
    return float(content.get("runs", {}).get("finished", math.inf))


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read '{path}' ({error}); name the study.json that a study wrote"
        ) from error
    if not isinstance(content, dict) or not {"study", "config"} <= set(content):
        raise ConfigError(f"'{path}' is not a study.json; name the one that a study wrote")
    return content


def _reading(content: Mapping[str, Any]) -> Reading:
    value = content["value"]
    return Reading(**{**content, "value": math.nan if value is None else value})


def _cases(
    contents: Sequence[Mapping[str, Any]], claims: Sequence[Claim], path: Path
) -> list[Case]:
    known = {claim.sentence: claim for claim in claims}
    cases = []
    for content in contents:
        if content["claim"] not in known:
            raise ConfigError(
                f"an earlier version wrote '{path}', which claimed that \"{content['claim']}\"; "
                f"{_AGAIN}"
            )
        values = {
            name: math.nan if content[name] is None else content[name]
            for name in ("smaller", "larger")
        }
        cases.append(Case(**{**content, **values, "claim": known[content["claim"]]}))
    return cases
