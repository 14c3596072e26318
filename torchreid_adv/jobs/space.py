"""Room on the disk, asked for before the work and not after it."""

from __future__ import annotations

import shutil
from pathlib import Path

from torchreid_adv.errors import DiskError

_GIGA = 1e9
# PNG cannot shrink noise: an image takes its pixels, three bytes each, and little more
BYTES_PER_PIXEL = 3.03
_PER_IMAGE = 512  # of the manifest, and of blocks that are not full


def require_space(folder: Path, *, images: int, pixels: int, other: int = 0) -> None:
    """Refuse to start what cannot be stored.

    Args:
        folder: where it will be stored; it need not exist.
        images: still to be written.
        pixels: of them together.
        other: further bytes.

    Raises:
        DiskError: less is free than it can take at most.
    """
    needed = int(pixels * BYTES_PER_PIXEL) + images * _PER_IMAGE + other
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise DiskError(
            f"'{folder}' has {free / _GIGA:.2f} GB free and {images} images can take up to "
            f"{needed / _GIGA:.2f} GB; free some, or choose another data.save_dir"
        )
