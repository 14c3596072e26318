"""A contact sheet: the same people through all cameras of a style, at a glance."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from torchreid_adv.data.virtual.image import Shot, render_image
from torchreid_adv.data.virtual.levels import to_levels
from torchreid_adv.data.virtual.options import VirtualOptions
from torchreid_adv.data.virtual.styles import style_named
from torchreid_adv.jobs.files import write_bytes

_GAP, _ZOOM = 4, 2


def contact_sheet(style: str, options: VirtualOptions, *, path: Path, identities: int = 8) -> Path:
    """Write a PNG with one row per identity and one column per camera, at twice the size.

    Args:
        style: name of the style, e.g. ``virtual_a``.
        options: seed and image size; the counts are not used.
        path: where the PNG goes.
        identities: rows.

    Raises:
        ConfigError: there is no such style.
    """
    cameras = range(len(style_named(style).cameras))
    rows = [
        np.hstack([_cell(style, options, pid, camid) for camid in cameras])
        for pid in range(1, identities + 1)
    ]
    sheet = cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
    write_bytes(path, cv2.imencode(".png", sheet)[1].tobytes())
    return path


def _cell(style: str, options: VirtualOptions, pid: int, camid: int) -> np.ndarray:
    shot = Shot(pid, camid, index=pid, height=options.height, width=options.width)
    image = to_levels(render_image(style_named(style), options.seed, shot))
    shown = (_ZOOM * options.width, _ZOOM * options.height)
    image = cv2.resize(image, shown, interpolation=cv2.INTER_CUBIC)
    white = int(np.iinfo(np.uint8).max)
    return np.pad(image, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=white)
