"""Transfer tables: rows are attacks on models, columns the models that are tested."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from torchreid_adv.core.files import write_bytes, write_text
from torchreid_adv.report import table
from torchreid_adv.report.page import PageFigure, Section
from torchreid_adv.report.style import CARD, INK, MUTED, contrast, to_files
from torchreid_adv.report.table import ResultTable, TableRow
from torchreid_adv.report.text import percent

COLOR_MAP = "cividis"
KIND_WORDS = {
    "white": "white-box",
    "gray": "other weights",
    "black": "another network",
    "oblivious": "without the defense",
    "queries": "by its answers",
    "": "",
}
KINDS = {"white": "w", "gray": "g", "black": "b", "oblivious": "o", "queries": "q"}
LEGEND = (
    "mAP of the tested model on the adversarial images (of its clean mAP): "
    "w white-box, g the same network with other weights, b another network, "
    "o the same weights without their defense; "
    "[the paper's mAP, where it is compared with one]. "
    "Other ranks are in transfer.json."
)
_FURTHER = {
    "queries": "q: made by the answers of the tested model, without its gradients.",
    "": "No letter: it is not known what the attack knew of the tested model.",
}


@dataclass(frozen=True)
class Cell:
    """One attack on one model or several, tested on one.

    Args:
        target: data set.
        attacked: labels, joined by ``+``.
        attack: registered name.
        eps: gray levels.
        metric: attacked metric; "" = that of the evaluation.
        tested: label; ``ensemble`` = the attacked models together.
        kind: what the attack knew of the tested model: ``white`` (its gradients), ``gray`` (another
            network of the same architecture), ``black`` (a network of another architecture),
            ``oblivious`` (its gradients, without the defense in front of it in the test) or
            ``queries`` (its answers); "" where nothing is attacked, or nothing is known, such as of
            the architecture of an ONNX file.
        clean: measures as in results.json.
        adversarial: the same, on the stored adversarial images.
        paper: the mAP printed in a paper, in [0, 1].
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
        """Name of its row."""
        metric = f", {self.metric}" if self.metric else ""
        return f"{self.attacked}: {self.attack}, eps {self.eps:g}{metric}"


def markdown(cells: Sequence[Cell]) -> str:
    """Return the tables of all data sets, mAP and then Rank-1, as Markdown."""
    targets = dict.fromkeys(cell.target for cell in cells)
    tables = [_table(cells, target, name) for target in targets for name in ("mAP", "Rank-1")]
    kinds = {cell.kind for cell in cells}
    sentences = [LEGEND, *(text for kind, text in _FURTHER.items() if kind in kinds)]
    return "\n\n".join([*tables, " ".join(sentences)])


def _table(cells: Sequence[Cell], target: str, name: str) -> str:
    cell_at, rows, columns = _laid_out(cells, target)
    clean = {c.tested: c.clean for c in cell_at.values() if c.tested != "ensemble"}
    shown = _shown if name == "mAP" else _first
    lines = [
        f"| {target}, {name}: attacked | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        "| clean | " + " | ".join(_clean(clean.get(column), name) for column in columns) + " |",
    ]
    for row in rows:
        row_cells = [cell_at.get((row, column)) for column in columns]
        lines.append(
            f"| {row} | " + " | ".join("" if c is None else shown(c) for c in row_cells) + " |"
        )
    return "\n".join(lines)


def _laid_out(
    cells: Sequence[Cell], target: str
) -> tuple[dict[tuple[str, str], Cell], list[str], list[str]]:
    """Return the cells by row and column, the rows and the columns, in order of appearance."""
    target_cells = [cell for cell in cells if cell.target == target]
    rows = list(dict.fromkeys(cell.row for cell in target_cells))
    columns = sorted(
        dict.fromkeys(cell.tested for cell in target_cells), key=lambda name: name == "ensemble"
    )
    return {(cell.row, cell.tested): cell for cell in target_cells}, rows, columns


def _clean(measures: dict[str, Any] | None, name: str) -> str:
    return percent(_rate(measures, name)) if measures else ""


def _rate(measures: dict[str, Any], name: str) -> float:
    return float(measures["mAP"] if name == "mAP" else measures["cmc"][name.split("-")[1]])


def _strong(cell: Cell, name: str) -> str:
    rate = percent(_rate(cell.adversarial, name))
    return f"**{rate}**" if cell.kind == "white" else rate


def _first(cell: Cell) -> str:
    return f"{_strong(cell, 'Rank-1')} {KINDS.get(cell.kind, '')}".rstrip()


def _shown(cell: Cell) -> str:
    printed = "" if cell.paper is None else f" [{percent(cell.paper)}]"
    letter = f" {KINDS[cell.kind]}" if cell.kind else ""
    return f"{_strong(cell, 'mAP')} ({cell.ratio:.2f}){letter}{printed}"


def write_matrix(folder: Path, cells: Sequence[Cell]) -> Path:
    """Write ``transfer.json``, ``transfer.md`` and a figure per data set; return the second."""
    content = [{**asdict(cell), "map_ratio": cell.ratio} for cell in cells]
    write_text(folder / "transfer.json", json.dumps(content, indent=1) + "\n")
    for target in dict.fromkeys(cell.target for cell in cells):
        for kind, drawn in to_files(figure(cells, target)).items():
            write_bytes(folder / f"transfer_{target}.{kind}", drawn)
    path = folder / "transfer.md"
    write_text(path, markdown(cells) + "\n")
    return path


def figure(cells: Sequence[Cell], target: str) -> Figure:
    """Draw the mAP ratios of one data set: dark where little is left, white-box cells in bold.

    The color map is perceptually uniform, so it is also readable in black-and-white print.
    """
    cell_at, rows, columns = _laid_out(cells, target)
    ratios = np.full((len(rows), len(columns)), np.nan)
    for (row, column), cell in cell_at.items():
        ratios[rows.index(row), columns.index(column)] = cell.ratio
    size = (2.6 + 0.07 * max(map(len, rows)) + 0.8 * len(columns), 1.5 + 0.38 * len(rows))
    drawn = Figure(figsize=size, layout="constrained")
    axes = drawn.subplots()
    edges = np.arange(len(columns) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5
    mesh = axes.pcolormesh(*edges, ratios, cmap=COLOR_MAP, vmin=0, vmax=1, edgecolor=CARD)
    axes.invert_yaxis()
    turned: dict[str, Any] = {"rotation": 30, "ha": "left"} if max(map(len, columns)) > 8 else {}
    axes.set_xticks(range(len(columns)), columns, color=INK, parse_math=False, **turned)
    axes.set_yticks(range(len(rows)), rows, color=INK, parse_math=False)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("tested on", color=INK, weight="bold")
    axes.set_ylabel("made on", color=INK, weight="bold")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (row, column), cell in cell_at.items():
        weight = "bold" if cell.kind == "white" else "normal"
        place, color = (columns.index(column), rows.index(row)), _readable(cell.ratio)
        axes.text(*place, f"{cell.ratio:.2f}", ha="center", va="center", color=color, weight=weight)
    bar = drawn.colorbar(mesh, ax=axes, shrink=0.9, pad=0.02)
    bar.set_label("adversarial / clean mAP", color=MUTED)
    bar.ax.tick_params(colors=MUTED, length=0)
    bar.outline.set_visible(False)
    return drawn


def _readable(ratio: float) -> str:
    """Return black or white, whichever is easier to read on the color of a ratio."""
    shade = to_hex(colormaps[COLOR_MAP](min(max(ratio, 0.0), 1.0)))
    return max(("#000001", "#fffffe"), key=lambda color: contrast(color, shade))


def matrix_sections(cells: Sequence[Cell]) -> list[Section]:
    """Return a section of each data set: the heat map, then mAP and Rank-1 as tables."""
    return [_matrix_section(cells, name) for name in dict.fromkeys(cell.target for cell in cells)]


def _matrix_section(cells: Sequence[Cell], target: str) -> Section:
    heat = PageFigure(
        figure(cells, target),
        f"Heat map of each model's remaining mAP under each attack on {target}",
        "Adversarial over clean mAP of the tested model; dark: little is left. Bold: white-box.",
        wide=True,
    )
    tables = [_page_table(cells, target, name) for name in ("mAP", "Rank-1")]
    return Section(target, figures={f"transfer_{target}": heat}, tables=tables)


def _page_table(cells: Sequence[Cell], target: str, name: str) -> ResultTable:
    cell_at, rows, columns = _laid_out(cells, target)
    clean = {c.tested: c.clean for c in cell_at.values() if c.tested != "ensemble"}
    first = [_rate(clean[column], name) if column in clean else None for column in columns]
    lines = [TableRow("clean", first, "no attack")]
    for row in rows:
        row_cells = [cell_at.get((row, column)) for column in columns]
        lines.append(TableRow(row, ["" if c is None else _page_cell(c, name) for c in row_cells]))
    bands = (("", 1), ("Tested on", len(columns)))
    return ResultTable(f"{name} on {target}", columns, lines, head="Made on", bands=bands)


def _page_cell(cell: Cell, name: str) -> table.Cell:
    note = KIND_WORDS[cell.kind]
    if name == "mAP":
        note = ", ".join(filter(None, (f"{cell.ratio:.2f} of clean", note)))
    if name == "mAP" and cell.paper is not None:
        note += f"; paper {percent(cell.paper)}"
    return table.rate(_rate(cell.adversarial, name), note, strong=cell.kind == "white")
