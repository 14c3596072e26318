"""The empirical robustness score (ERS) of deep ranking, from the results of ten attacks' runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchreid_adv.attacks.deep_ranking import ERS, robustness_score
from torchreid_adv.errors import ConfigError, DataError

SELF = "sma"  # the self attack, the source of es_shift and es_r1
RUNS = (*(name for name in ERS if not name.startswith("es_")), SELF)
_SHARES = ("ltm", "gtm", "gtt")  # kept as shares, scored in percent


def ranking_robustness(folders: Mapping[str, str | Path]) -> dict[str, float]:
    """Return the ERS of each data set, 0 = defenseless, 100 = untouched.

    The ranking attacks' measures are taken before rounding; the self attack's shift and rank-1 are
    those of the stored files. See :func:`robustness_score` for the formula.

    Args:
        folders: attack -> the folder of its run, one for each of ``RUNS``.

    Raises:
        ConfigError: a run is missing, or the runs differ in model, bound or data sets.
        DataError: a folder without results, or with those of another attack.
    """
    if set(folders) != set(RUNS):
        wrong = sorted(set(RUNS) ^ set(folders))
        raise ConfigError(f"the score needs runs of {', '.join(RUNS)}; missing or unknown: {wrong}")
    runs = {name: _read(Path(folder)) for name, folder in folders.items()}
    kinds = {_kind(name, run) for name, run in runs.items()}
    if len(kinds) != 1:
        raise ConfigError(
            "the runs differ in model, eps or data sets; attack one model on the same data sets "
            "within one eps"
        )
    names = runs[SELF]["targets"]
    return {name: _score({run: runs[run]["targets"][name] for run in runs}) for name in names}


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "results.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' cannot be read ({error}); finish the attack first") from error
    return content


def _kind(name: str, run: dict[str, Any]) -> str:
    """Return what all runs of a score have in common, as text."""
    side = "gallery" if name.startswith("ca_") else "query"
    attacks = [target["attack"] for target in run["targets"].values()]
    for attack in attacks:
        if (attack["name"], attack["side"]) != (name, side):
            raise DataError(
                f"the run given for '{name}' attacked the {attack['side']} by '{attack['name']}'; "
                f"the score needs {name} on adv.attack.side {side}"
            )
    bounds = sorted({attack["eps"] for attack in attacks})
    return json.dumps([run["model"], bounds, sorted(run["targets"])], sort_keys=True)


def _score(targets: dict[str, dict[str, Any]]) -> float:
    figures = {
        name: float(target["figure"]["adversarial"]) * (100 if name in _SHARES else 1)
        for name, target in targets.items()
        if name != SELF
    }
    figures["es_shift"] = targets[SELF]["feature_shift"]
    figures["es_r1"] = 100 * targets[SELF]["adversarial"]["cmc"]["1"]
    return robustness_score(figures)
