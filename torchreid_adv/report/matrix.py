"""Transfer tables: rows are attacks on models, columns the models that are tested."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from torchreid_adv.core.files import write_bytes, write_text
from torchreid_adv.report.style import INK, MUTED, to_png
from torchreid_adv.report.text import percent

KINDS = {"white": "w", "gray": "g", "black": "b", "oblivious": "o"}
LEGEND = (
    "mAP of the tested model on the adversarial images (of its clean mAP): "
    "w white-box, g the same network with other weights, b another network, "
    "o the same weights, but not the defense before them; "
    "[the paper's mAP, where one is held against it]. Rank-1 of the same below; "
    "other ranks are in transfer.json."
)


@dataclass(frozen=True)
class Cell:
    """One attack on one model or several, tested by one.

    Args:
        target: data set.
        attacked: labels, joined by ``+``.
        attack: registered name.
        eps: gray levels.
        metric: attacked metric; "" = that of the evaluation.
        tested: label; ``ensemble`` = the attacked models together.
        kind: ``white``, ``gray``, ``black``, or ``oblivious``: the tested weights were attacked
            without the defense that stands before them in the test; "" where nothing is attacked.
        clean: measures as in results.json.
        adversarial: the same, on the stored adversarial images.
        paper: mAP that a paper printed for it, in [0, 1].
        ranked: the metric of the evaluation, where a table has several.
        protocol: the rules of the scores, as in results.json.
    """

    target: str
    attacked: str
    attack: str
    eps: float
    metric: str
    tested: str
    kind: str
    clean: dict[str, Any]
    adversarial: dict[str, Any]
    paper: float | None = None
    ranked: str = ""
    protocol: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Adversarial mAP over the same model's clean mAP."""
        return float(self.adversarial["mAP"]) / max(float(self.clean["mAP"]), 1e-12)

    @property
    def row(self) -> str:
        """Name of the row it stands in."""
        metric = f", {self.metric}" if self.metric else ""
        return f"{self.attacked}: {self.attack}, eps {self.eps:g}{metric}"


def markdown(cells: Sequence[Cell]) -> str:
    """Return the tables of all data sets, mAP and then Rank-1, as Markdown."""
    targets = dict.fromkeys(cell.target for cell in cells)
    tables = [_table(cells, target, name) for target in targets for name in ("mAP", "Rank-1")]
    return "\n\n".join([*tables, LEGEND])


def _table(cells: Sequence[Cell], target: str, name: str) -> str:
    found, rows, columns = _laid_out(cells, target)
    clean = {c.tested: c.clean for c in found.values() if c.tested != "ensemble"}
    shown = _shown if name == "mAP" else _first
    lines = [
        f"| {target}, {name}: attacked | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        "| clean | " + " | ".join(_clean(clean.get(column), name) for column in columns) + " |",
    ]
    for row in rows:
        own = [found.get((row, column)) for column in columns]
        lines.append(f"| {row} | " + " | ".join("" if c is None else shown(c) for c in own) + " |")
    return "\n".join(lines)


def _laid_out(
    cells: Sequence[Cell], target: str
) -> tuple[dict[tuple[str, str], Cell], list[str], list[str]]:
    """Return the cells by row and column, the rows and the columns, in order of appearance."""
    own = [cell for cell in cells if cell.target == target]
    rows = list(dict.fromkeys(cell.row for cell in own))
    columns = sorted(
        dict.fromkeys(cell.tested for cell in own), key=lambda name: name == "ensemble"
    )
    return {(cell.row, cell.tested): cell for cell in own}, rows, columns


def _clean(measures: dict[str, Any] | None, name: str) -> str:
    return percent(_rate(measures, name)) if measures else ""


def _rate(measures: dict[str, Any], name: str) -> float:
    return float(measures["mAP"] if name == "mAP" else measures["cmc"][name.split("-")[1]])


def _strong(cell: Cell, name: str) -> str:
    rate = percent(_rate(cell.adversarial, name))
    return f"**{rate}**" if cell.kind == "white" else rate


def _first(cell: Cell) -> str:
    return f"{_strong(cell, 'Rank-1')} {KINDS[cell.kind]}"


def _shown(cell: Cell) -> str:
    printed = "" if cell.paper is None else f" [{percent(cell.paper)}]"
    return f"{_strong(cell, 'mAP')} ({cell.ratio:.2f}) {KINDS[cell.kind]}{printed}"


def write_matrix(folder: Path, cells: Sequence[Cell]) -> Path:
    """Write ``transfer.json``, ``transfer.md`` and a picture per data set; return the second."""
    content = [{**asdict(cell), "map_ratio": cell.ratio} for cell in cells]
    write_text(folder / "transfer.json", json.dumps(content, indent=1) + "\n")
    for target in dict.fromkeys(cell.target for cell in cells):
        write_bytes(folder / f"transfer_{target}.png", to_png(figure(cells, target)))
    path = folder / "transfer.md"
    write_text(path, markdown(cells) + "\n")
    return path


def figure(cells: Sequence[Cell], target: str) -> Figure:
    """Draw the mAP ratios of one data set: dark where little is left, white-box cells framed."""
    found, rows, columns = _laid_out(cells, target)
    ratios = np.full((len(rows), len(columns)), np.nan)
    for (row, column), cell in found.items():
        ratios[rows.index(row), columns.index(column)] = cell.ratio
    size = (3.4 + 0.9 * len(columns), 1.2 + 0.36 * len(rows))
    drawn = Figure(figsize=size, layout="constrained")
    axes = drawn.subplots()
    axes.imshow(ratios, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, color=INK)
    axes.set_yticks(range(len(rows)), rows, color=INK)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (row, column), cell in found.items():
        ratio, place = cell.ratio, (columns.index(column), rows.index(row))
        color = INK if ratio > 0.55 else "white"
        weight = "bold" if cell.kind == "white" else "normal"
        axes.text(*place, f"{ratio:.2f}", ha="center", va="center", color=color, weight=weight)
    axes.set_xlabel("adversarial over clean mAP; bold = white-box", color=MUTED)
    return drawn
