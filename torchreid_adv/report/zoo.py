"""The table of a model zoo, in torchreid's columns, with what an attack leaves of each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torchreid_adv.report.words import DASH, percent

COLUMNS = ("", "model", "params (M)", "GFLOPs", "loss", "input", "transforms", "defense")
FIGURES = ("attack", "eps", "clean", "oblivious", "adaptive")
NOTE = (
    "Rank-1 (mAP), percent, of queries against the stored gallery; eps in gray levels; GFLOPs are "
    "multiply-adds. Oblivious: the attack does not know of the defense; it is made on the same "
    "network without it, for adversarial training on the model '{first}'. Adaptive: it is made "
    "through what is tested, defense and all. A model without a defense has one figure, and only "
    "adaptive ones say how robust a model is."
)


@dataclass(frozen=True)
class Described:
    """One model as torchreid's zoo describes it.

    Args:
        label: how the table calls it.
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
        oblivious: under an attack that does not know of the defense; None without a defense.
        adaptive: under an attack through all of it; None where there is none.
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
        figures = [_figures(found) for found in (self.clean, self.oblivious, self.adaptive)]
        cells = [*self.model.cells(), self.attack, f"{self.eps:g}", *figures]
        return f"| {' | '.join(cells)} |"


def _figures(found: dict[str, Any] | None) -> str:
    if found is None:
        return DASH
    first, mean = (percent(v).removesuffix("%") for v in (found["cmc"]["1"], found["mAP"]))
    return f"{first} ({mean})"


def page(rows: Sequence[Row]) -> str:
    """Return a table for each data set, and what its figures mean."""
    heads = (*COLUMNS, *FIGURES)
    parts = []
    for target in dict.fromkeys(row.target for row in rows):
        own = [row for row in rows if row.target == target]
        lines = [f"**{target}**", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        parts.append("\n".join([*lines, *(row.markdown() for row in own)]))
    reasons = dict.fromkeys(f"No adaptive attack: {row.reason}." for row in rows if row.reason)
    return "\n\n".join([*parts, NOTE.format(first=rows[0].model.label), *reasons]) + "\n"
