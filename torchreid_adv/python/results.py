"""Results read back from their folders, and lists of models and formats."""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.core.tabular import Tabular
from torchreid_adv.errors import DataError
from torchreid_adv.experiments.card.content import CARD
from torchreid_adv.experiments.compare_runs import compare_runs
from torchreid_adv.models.loading import factory_of_networks
from torchreid_adv.python.attacking import RESULTS, AttackResult
from torchreid_adv.python.cards import CardResult
from torchreid_adv.python.evaluating import StandardResult
from torchreid_adv.python.tables import TransferResult
from torchreid_adv.registry import LOADERS
from torchreid_adv.report.matrix import Cell
from torchreid_adv.report.mixed_table import MixedTable
from torchreid_adv.standard.reading import RESULT

TABLE = "transfer.json"


def load_result(
    folder: str | Path,
) -> AttackResult | CardResult | StandardResult | TransferResult:
    """Read what a run left in its folder.

    Args:
        folder: of an attack, a card, a standard evaluation of one model, a transfer or a sweep.

    Raises:
        DataError: it holds none, or a result that was changed.

    Example:
        >>> load_result("run").to_csv("run.csv")
    """
    folder = Path(folder)
    if (folder / CARD).is_file():
        return CardResult.read(folder / CARD)
    if (folder / RESULT).is_file():
        return StandardResult.read(folder / RESULT)
    if (folder / TABLE).is_file():
        return TransferResult(folder, _cells(folder / TABLE))
    if (folder / RESULTS).is_file():
        return AttackResult.read(folder)
    raise DataError(
        f"'{folder}' holds no {RESULTS}, {RESULT} or {TABLE}; give the folder of a finished run"
    )


def _cells(path: Path) -> tuple[Cell, ...]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        cells = tuple(Cell(**{k: v for k, v in row.items() if k != "map_ratio"}) for row in rows)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"'{path}' is not a table of a transfer: {error}") from error
    if not cells:
        raise DataError(f"'{path}' is an empty table")
    return cells


@dataclass(frozen=True)
class Comparison(Tabular):
    """Results of runs side by side: a row for each run, a column for each setting and measure.

    Args:
        table: as ``torchreid-adv compare`` writes it.
    """

    table: MixedTable

    def __repr__(self) -> str:
        return f"Comparison({self.table.title}: {', '.join(self.table.columns[1:])})"

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each run, shares in [0, 1]."""
        names = [str(row[0]) for row in self.table.rows]
        values = [row[1:] for row in self.table.rows]
        return [
            {"run": run, **dict(zip(names, row, strict=True))}
            for run, row in zip(self.table.columns[1:], zip(*values, strict=True), strict=True)
        ]

    def shares(self) -> tuple[str, ...]:
        """Return the measures."""
        return tuple(self.table.rates)

    def text(self) -> str:
        """Return what the command prints."""
        return self.table.console()


def compare(*runs: str | Path | AttackResult | StandardResult) -> Comparison:
    """Return the results of two runs or more side by side, as ``torchreid-adv compare`` does.

    Args:
        runs: folders of attacks or standard evaluations, or their results.

    Raises:
        DataError: no such folder or file, or no result in it.

    Example:
        >>> compare("log/ifgsm", "log/sma").to_frame()
    """
    return Comparison(compare_runs([_place(run) for run in runs]))


def _place(run: str | Path | AttackResult | StandardResult) -> str | Path:
    if isinstance(run, AttackResult):
        return run.folder
    return run.path if isinstance(run, StandardResult) else run


def list_models(pattern: str = "*") -> list[str]:
    """Return the networks that can be built by name, torchreid's and ours, in order.

    Args:
        pattern: with ``*`` and ``?``, in any case.

    Example:
        >>> list_models("osnet*")
    """
    names = sorted(factory_of_networks())
    return [name for name in names if fnmatch.fnmatch(name.lower(), pattern.lower())]


def list_formats(pattern: str = "*") -> dict[str, str]:
    """Return the formats of models from elsewhere: name -> an entry as an example.

    Args:
        pattern: with ``*`` and ``?``, in any case.

    Example:
        >>> list_formats()["timm"]
    """
    names = [name for name in LOADERS.public if fnmatch.fnmatch(name.lower(), pattern.lower())]
    return {name: str(LOADERS.facts(name).get("example", f"{name}:FILE")) for name in names}
