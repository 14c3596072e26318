"""Tables of papers as data, to stand beside ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.report.matrix import Cell

_FOLDER = files(__package__) / "paper_tables"
_BASE = ("B1", "B2", "B3", "B4")  # Bai et al.'s base models; "-B1" there = all of them but B1


@dataclass(frozen=True)
class PaperTable:
    """A printed table.

    Args:
        paper: where it is printed.
        title: what it shows.
        models: label -> what the model is.
        cells: one dict per number, with ``mAP`` in percent.
    """

    paper: str
    title: str
    models: dict[str, str]
    cells: tuple[dict[str, Any], ...]

    def mean(self, cell: Cell) -> float | None:
        """Return the printed mAP that belongs to a cell of ours, in [0, 1]."""
        for printed in self.cells:
            if _key(printed) == (cell.target, cell.attacked, cell.attack, cell.eps, cell.tested):
                return float(printed["mAP"]) / 100
        return None

    def beside(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return cells with the printed mAP in those that the paper has."""
        return [replace(cell, paper=self.mean(cell)) for cell in cells]


def paper_table(name: str) -> PaperTable:
    """Return a table by its name, such as ``bai2019.table2``.

    Raises:
        ConfigError: unknown name, with the nearest known one.
    """
    known = names()
    if name not in known:
        raise ConfigError(f"unknown table '{name}'{suggest(name, known)}")
    content = json.loads((_FOLDER / f"{name.replace('.', '_')}.json").read_text(encoding="utf-8"))
    cells = tuple(content["cells"])
    return PaperTable(content["paper"], content["title"], content["models"], cells)


def names() -> list[str]:
    """Return the names of all tables."""
    paths = (path.name for path in _FOLDER.iterdir())
    stems = sorted(path.removesuffix(".json") for path in paths if path.endswith(".json"))
    return [stem.replace("_", ".", 1) for stem in stems]


def _key(printed: dict[str, Any]) -> tuple[Any, ...]:
    attacked = str(printed.get("attacked", ""))
    if attacked.startswith("-"):
        attacked = "+".join(label for label in _BASE if label != attacked[1:])
    return (
        printed["target"],
        attacked,
        printed.get("attack", ""),
        printed.get("eps"),
        printed["tested"],
    )
