"""A contact sheet of corruptions: a virtual person at each severity of each kind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from torchreid_adv.corruptions import SEVERITIES, corrupt
from torchreid_adv.data.virtual.colors import to_levels
from torchreid_adv.data.virtual.image import Shot, render_image
from torchreid_adv.data.virtual.styles import style_named
from torchreid_adv.report.panels import Sheet
from torchreid_adv.report.style import INK, MUTED

SIZE = (256, 128)
_ACROSS = 3  # kinds side by side
_CELL = (0.62, 1.24)  # inches
_MIDDLE = 3  # the severity above the kind's name


def corruption_sheet(kinds: Sequence[str], *, seed: int = 0) -> Figure:
    """Draw a virtual person at severities 1 to 5 of each kind, three kinds per row.

    Args:
        kinds: registered corruptions.
        seed: selects the person and the random draw.
    """
    person, other = (_person(2 * seed + place) for place in (0, 1))
    rows, across = -(-len(kinds) // _ACROSS), min(len(kinds), _ACROSS)
    sheet = Sheet(rows, across * len(SEVERITIES), cell=_CELL, head=0)
    for place, kind in enumerate(kinds):
        row, block = divmod(place, _ACROSS)
        for column, severity in enumerate(SEVERITIES, start=block * len(SEVERITIES)):
            image = corrupt(person, kind, severity=severity, draw=seed, other=other)
            middle = severity == _MIDDLE
            below = (kind.replace("_", " "), INK) if middle else (str(severity), MUTED)
            sheet.show(row, column, Image.fromarray(image), below=below)
    return sheet.figure


def _person(number: int) -> np.ndarray:
    style = style_named("virtual_a")
    shot = Shot(number + 1, number % len(style.cameras), number, *SIZE)
    return to_levels(render_image(style, 0, shot))
