"""Tables of papers as data, to compare with ours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.registry import current_name
from torchreid_adv.report.matrix import Cell

_FOLDER = files(__package__) / "paper_tables"
_BASE = ("B1", "B2", "B3", "B4")  # Bai et al.'s base models; "-B1" there = all of them but B1


@dataclass(frozen=True)
class PaperTable:
    """A printed table, or a paper's statements about a figure.

    A cell is one dict: what it describes (``target``, the fields of ``rows`` and ``columns``, and
    further fields) and its measures as printed.

    Args:
        name: such as ``bai2019.table2``.
        paper: where it is printed.
        title: what it shows.
        models: label -> what the model is.
        cells: in the order of the paper.
        rows: the fields that tell rows apart.
        columns: the fields that tell columns apart; () = the measures alone.
        measures: the printed measures of a cell, such as ``mAP`` and ``rank1``.
        networks: label -> the network to write into ``adv.transfer.models``; other labels have no
            counterpart in torchreid.
        unit: ``percent``, ``ratio`` or ``number``.
        ap_rule: of the paper's evaluation, as ``adv.evaluation.ap_rule``.
        note: a sentence that belongs below the table.
        same_network: the paper's word for an attack made on the same network with other weights,
            ``gray`` or ``black``.
    """

    name: str
    paper: str
    title: str
    models: dict[str, str]
    cells: tuple[dict[str, Any], ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    measures: tuple[str, ...]
    networks: dict[str, str]
    unit: str = "percent"
    ap_rule: str = "standard"
    note: str = ""
    same_network: str = "gray"

    def mean(self, cell: Cell) -> float | None:
        """Return the printed mAP that belongs to a cell of ours, in [0, 1]."""
        for printed in self.cells:
            if _key(printed) == (cell.target, cell.attacked, cell.attack, cell.eps, cell.tested):
                return float(printed["mAP"]) / 100
        return None

    def beside(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return cells with the printed mAP in those that the paper has."""
        return [replace(cell, paper=self.mean(cell)) for cell in cells]

    @property
    def targets(self) -> list[str]:
        """The data sets of the table, in its order."""
        return list(dict.fromkeys(cell["target"] for cell in self.cells))

    def target_for(self, name: str) -> str:
        """Return the paper's data set to compare with one of ours: the same, else its first.

        A plot without known numbers has none.
        """
        return name if name in self.targets or not self.targets else self.targets[0]

    def values(self, field: str) -> list[Any]:
        """Return the distinct values of a field in the cells, without empty ones."""
        return [value for value in dict.fromkeys(cell.get(field) for cell in self.cells) if value]

    def place(self, where: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the fields that identify a cell within its data set."""
        return tuple(where.get(field, "") for field in (*self.rows, *self.columns))

    def printed(self, cell: Mapping[str, Any]) -> dict[str, float]:
        """Return the measures of a cell as printed."""
        return {name: float(cell[name]) for name in self.measures if name in cell}


def paper_table(name: str) -> PaperTable:
    """Return a table by its name, such as ``bai2019.table2``.

    Raises:
        ConfigError: unknown name, with the nearest known one.
    """
    name, known = current_name(name), names()
    if name not in known:
        raise ConfigError(f"unknown table '{name}'{suggest(name, known)}")
    paper, _, table_name = name.partition(".")
    file = _FOLDER / f"{paper}_{table_name.replace('_', '-')}.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    return PaperTable(
        name,
        content["paper"],
        content["title"],
        content["models"],
        tuple(content["cells"]),
        rows=tuple(content["rows"]),
        columns=tuple(content["columns"]),
        measures=tuple(content["measures"]),
        networks=content.get("networks", {}),
        unit=content["unit"],
        ap_rule=content["ap_rule"],
        note=content.get("note", ""),
        same_network=content.get("same_network", "gray"),
    )


def names() -> list[str]:
    """Return the names of all tables."""
    paths = (path.name for path in _FOLDER.iterdir())
    stems = sorted(path.removesuffix(".json") for path in paths if path.endswith(".json"))
    return [".".join(stem.rsplit("_", 1)).replace("-", "_") for stem in stems]


def _key(printed: dict[str, Any]) -> tuple[Any, ...]:
    attacked = str(printed.get("attacked", ""))
    if attacked.startswith("-"):
        attacked = "+".join(label for label in _BASE if label != attacked[1:])
    return (
        printed["target"],
        attacked,
        printed.get("attack", ""),
        printed.get("eps"),
        printed.get("tested", ""),
    )
