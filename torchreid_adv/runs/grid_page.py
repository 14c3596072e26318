"""The pages of a grid: ``transfer.html`` and ``sweep.html``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torchreid_adv.config import AdvConfig, plain
from torchreid_adv.core.provenance import provenance
from torchreid_adv.report.matrix import Cell, matrix_sections
from torchreid_adv.report.page import Page, PageFigure, Section

READ = (
    "Each row is an attack and the models that it was made on; each column is a model that ranks "
    "the adversarial images. White-box cells show how robust a model is; the other cells show how "
    "well adversarial images transfer."
)


def transfer_page(cfg: AdvConfig, cells: Sequence[Cell]) -> Page:
    """Return the page of a transfer table.

    Args:
        cfg: of the run.
        cells: one or more.
    """
    return Page(
        title="Transfer of adversarial images",
        kicker=_kicker(cfg, cells),
        lead=[READ],
        sections=matrix_sections(cells),
        config=plain(cfg),
        provenance=provenance().facts(),
    )


def sweep_page(cfg: AdvConfig, cells: Sequence[Cell], figures: Mapping[str, PageFigure]) -> Page:
    """Return the page of a sweep over bounds and metrics.

    Args:
        cfg: of the run.
        cells: one or more.
        figures: the curves.
    """
    return Page(
        title="mAP by bound",
        kicker=_kicker(cfg, cells),
        sections=[Section("Curves", figures=figures), *matrix_sections(cells)],
        config=plain(cfg),
        provenance=provenance().facts(),
    )


def _kicker(cfg: AdvConfig, cells: Sequence[Cell]) -> str:
    side = "queries" if cfg.adv.attack.side == "query" else "gallery"
    bounds = sorted({cell.eps for cell in cells})
    levels = ", ".join(f"{eps:g}" for eps in bounds)
    return f"{', '.join(dict.fromkeys(cfg.data.targets))} · {side} attacked · {levels} gray levels"
