"""Queries under universal attacks: the ways side by side, and the bounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from torchreid_adv.data.images import read_image
from torchreid_adv.pixels import from_levels
from torchreid_adv.report.charts import ATTACKED, INK
from torchreid_adv.report.noise import compared
from torchreid_adv.report.panels import LINE, Sheet

_CELL = (0.9, 1.8)
Column = Mapping[str, Path]  # image_id -> stored adversarial form


def attacked_figure(
    originals: Mapping[str, Path], columns: Mapping[str, Column], eps: float
) -> Figure:
    """Draw each query and its adversarial forms, and below these what was changed.

    Args:
        originals: image_id -> file of a query.
        columns: head of a column -> the queries' adversarial forms.
        eps: bound, gray levels, by which all changes are amplified alike.
    """
    sheet = Sheet(2 * len(originals), 1 + len(columns), cell=_CELL, left=0.15, head=0, top=LINE)
    for place, (image_id, path) in enumerate(originals.items()):
        sheet.label(2 * place, "attacked")
        sheet.label(2 * place + 1, "perturbation")
        original = read_image(path)
        for number, (name, column) in enumerate(columns.items(), start=1):
            found = compared(image_id, original, read_image(column[image_id]), eps=from_levels(eps))
            heads = ("query", name) if not place else ("", "")
            if number == 1:
                sheet.show(2 * place, 0, found.original, frame=INK, above=heads[0], crisp=True)
            adversarial = found.adversarial
            sheet.show(2 * place, number, adversarial, frame=ATTACKED, above=heads[1], crisp=True)
            sheet.show(2 * place + 1, number, found.noise, crisp=True)
    return sheet.figure
