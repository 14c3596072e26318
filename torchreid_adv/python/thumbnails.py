"""Pictures of a run, made small for a notebook."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from torchreid_adv.data.images import read_image
from torchreid_adv.errors import AdvError

WIDTH = 640  # pixels, at most


def thumbnails(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Return name -> PNG file of the pictures that exist, no wider than :data:`WIDTH`.

    Args:
        folder: that holds them.
        names: ends of their names, without ``.png``; the first file of each end is taken.
    """
    pictures: dict[str, bytes] = {}
    for name in names:
        for path in sorted(folder.glob(f"*{name}.png"))[:1]:
            try:
                picture = read_image(path)
            except AdvError:  # the notebook shows no picture then
                continue
            picture.thumbnail((WIDTH, 10 * WIDTH), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            picture.quantize(128).save(buffer, format="PNG", optimize=True)
            pictures[path.stem.replace("_", " ")] = buffer.getvalue()
    return pictures
