"""The table of a model zoo, in torchreid's columns, as Markdown and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torchreid_adv import config
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.provenance import provenance
from torchreid_adv.report.page import Page, Section
from torchreid_adv.report.table import ResultTable, TableRow, rate
from torchreid_adv.report.text import levels, percent
from torchreid_adv.report.units import DASH

COLUMNS = ("", "model", "params (M)", "GFLOPs", "loss", "input", "transforms", "defense")
FIGURES = ("attack", "eps", "clean", "oblivious", "adaptive")
NOTE = (
    "Rank-1 (mAP), percent, of queries against the stored gallery; eps in gray levels; GFLOPs are "
    "multiply-adds. Oblivious: the attack does not know the defense; it is made on the same "
    "network without it, for adversarial training on the model '{first}'. Adaptive: the attack is "
    "made through the whole tested system, including the defense. A model without a defense has "
    "only this number, and only adaptive numbers show how robust a model is."
)


@dataclass(frozen=True)
class Described:
    """One model as torchreid's zoo describes it.

    Args:
        label: in the table.
        network: in torchreid's model factory.
        params: number of weights that features depend on.
        flops: multiply-adds of one image.
        loss: of its training.
        size: height and width of its input.
        transforms: of its training.
        defense: training or test-time wrapper; "" = none.
        weights: checkpoint.
    """

    label: str
    network: str
    params: int
    flops: int
    loss: str
    size: tuple[int, int]
    transforms: tuple[str, ...]
    defense: str
    weights: str

    def cells(self) -> list[str]:
        """Return it in the order of the columns."""
        complexity = [f"{self.params / 1e6:.2f}", f"{self.flops / 1e9:.3f}"]
        size, transforms = f"{self.size[0]}x{self.size[1]}", ", ".join(self.transforms)
        about = [self.loss, size, transforms, self.defense or DASH]
        return [self.label, self.network, *complexity, *about]


@dataclass(frozen=True)
class Row:
    """One model on one data set; measures as in results.json.

    Args:
        model: the model.
        target: data set.
        attack: registered name.
        eps: gray levels.
        clean: measures without an attack.
        oblivious: under an attack that does not know the defense; None without a defense.
        adaptive: under an attack through the whole system; None if there is none.
        reason: why there is none.
    """

    model: Described
    target: str
    attack: str
    eps: float
    clean: dict[str, Any]
    oblivious: dict[str, Any] | None
    adaptive: dict[str, Any] | None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)

    def markdown(self) -> str:
        """Return the line of the table."""
        figures = [_figures(measures) for measures in (self.clean, self.oblivious, self.adaptive)]
        cells = [*self.model.cells(), self.attack, f"{self.eps:g}", *figures]
        return f"| {' | '.join(cells)} |"


def _figures(measures: dict[str, Any] | None) -> str:
    if measures is None:
        return DASH
    first, mean = (percent(v).removesuffix("%") for v in (measures["cmc"]["1"], measures["mAP"]))
    return f"{first} ({mean})"


def page(rows: Sequence[Row]) -> str:
    """Return a table for each data set, and an explanation of its numbers."""
    heads = (*COLUMNS, *FIGURES)
    parts = []
    for target in dict.fromkeys(row.target for row in rows):
        target_rows = [row for row in rows if row.target == target]
        lines = [f"**{target}**", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        parts.append("\n".join([*lines, *(row.markdown() for row in target_rows)]))
    reasons = dict.fromkeys(f"No adaptive attack: {row.reason}." for row in rows if row.reason)
    return "\n\n".join([*parts, NOTE.format(first=rows[0].model.label), *reasons]) + "\n"


def zoo_page(cfg: AdvConfig, rows: Sequence[Row]) -> Page:
    """Return the page of a zoo.

    Args:
        cfg: of the run.
        rows: one or more.
    """
    reasons = [f"No adaptive attack: {row.reason}." for row in rows if row.reason]
    targets = list(dict.fromkeys(row.target for row in rows))
    return Page(
        title="Model zoo: clean, oblivious, adaptive",
        kicker=f"{', '.join(targets)} · {rows[0].attack}, {levels(rows[0].eps)}",
        lead=["Only the adaptive numbers show how robust a model is."],
        sections=[
            Section(target, tables=[_page_table([row for row in rows if row.target == target])])
            for target in targets
        ]
        + [
            Section(
                "What the columns mean",
                [_note(rows), *dict.fromkeys(reasons)],
            )
        ],
        config=config.plain(cfg),
        provenance=provenance().facts(),
    )


def _note(rows: Sequence[Row]) -> str:
    """Return the explanation of the columns, without the part for Markdown."""
    return NOTE.format(first=rows[0].model.label).partition("eps in gray levels; ")[2]


def _page_table(rows: Sequence[Row]) -> ResultTable:
    """Return the rows of a data set: mAP and Rank-1 of each condition, then facts on the model."""
    lines = []
    for row in rows:
        model = row.model
        conditions = (row.clean, row.oblivious, row.adaptive)
        size = f"{model.params / 1e6:.2f} M weights, {model.flops / 1e9:.3f} GFLOPs"
        lines.append(
            TableRow(
                model.label,
                [
                    *(
                        rate(scores["mAP"] if scores else None, strong=scores is row.adaptive)
                        for scores in conditions
                    ),
                    *(rate(scores["cmc"]["1"] if scores else None) for scores in conditions),
                    model.defense or DASH,
                ],
                f"{model.network}, {size}, {model.loss}",
            )
        )
    return ResultTable(
        f"Models on {rows[0].target}",
        (*("clean", "oblivious", "adaptive") * 2, "Defense"),
        lines,
        head="Model",
        bands=(("", 1), ("mAP", 3), ("Rank-1", 3), ("", 1)),
        sortable=True,
    )
