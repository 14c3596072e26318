"""Faults of one stored image: in its entry of the manifest, in its bytes and in its pixels."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from torchreid_adv import config
from torchreid_adv.core.files import inside
from torchreid_adv.core.manifest import Entry, Manifest, sha256
from torchreid_adv.core.untrusted import read_regular
from torchreid_adv.data.containers import PNG, png_size
from torchreid_adv.data.images import BYTES_PER_PIXEL, FORMATS, decode_image
from torchreid_adv.models.resizing import FileResize
from torchreid_adv.runs.originals import DataFiles

_OVERHEAD = 2**16  # bytes of a PNG in addition to its pixels


@dataclass(frozen=True)
class Bound:
    """How far the images of a manifest may be from their originals.

    Args:
        eps: of the attack, gray levels.
        levels: largest allowed difference of a pixel, whole gray levels.
        mean_square: eps bounds the root mean square of an image's change, not its pixels.
    """

    eps: float
    levels: int
    mean_square: bool = False

    def __str__(self) -> str:
        return f"{self.eps:g} (root mean square)" if self.mean_square else str(self.levels)


def attack_of(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest's entry on its attack, empty if it has none."""
    attack = manifest.header.get("attack")
    return attack if isinstance(attack, dict) else {}


def faults_of_entry(manifest: Manifest, entry: Entry, known: DataFiles | None) -> Iterator[str]:
    """Yield the faults of an entry that are visible without opening a file."""
    fault = known.fault(entry) if known else ""
    if fault:
        yield fault
    if os.path.splitext(entry.image_id)[0] + ".png" != entry.output:
        yield f"is the file of another image than '{entry.image_id}'"
    side = attack_of(manifest).get("side")
    if entry.attacked and side is not None and entry.side != side:
        yield f"is a {entry.side} image, and the attack is on the {side} side"
    if bool(entry.corruption) != (entry.attacked and "corruption" in manifest.header):
        yield "is corrupted and does not say how, or says how and is not corrupted"
    if not entry.attacked and not has_copies(manifest):
        yield "was not attacked, and the manifest lists only attacked images"


def has_copies(manifest: Manifest) -> bool:
    """Return whether images that are not attacked are stored, too."""
    job = manifest.header.get("job")
    return isinstance(job, dict) and job.get("copies") is True


def faults_of_image(
    folder: Path,
    path: Path,
    entry: Entry,
    bound: Bound,
    resize: FileResize | None,
) -> Iterator[str]:
    """Yield the faults in the bytes and pixels of one image.

    Args:
        folder: of the variant.
        path: of the original.
        entry: of the manifest.
        bound: how far it may be from its original.
        resize: of the original; None = it has its own size.
    """
    limit = config.current().adv.data.max_pixels * BYTES_PER_PIXEL + _OVERHEAD
    source = read_regular(path, limit)
    if sha256(source) != entry.source_sha256:
        yield f"its original {entry.source} has changed"
    original = np.array(decode_image(source, path))
    with Image.open(io.BytesIO(source), formats=FORMATS) as header:
        if header.mode != entry.source_mode:
            yield f"its original is of mode {header.mode}, the manifest says {entry.source_mode}"
    original = original if resize is None else resize.levels(original)
    output = inside(folder, entry.output)
    content = read_regular(output, math.prod(original.shape) * BYTES_PER_PIXEL + _OVERHEAD)
    if sha256(content) != entry.sha256:
        yield "its bytes have changed"
    size = png_size(content) if content.startswith(PNG) else None
    if size is None:
        yield "is not a PNG file"
    elif size != original.shape[:2] or size != entry.size:
        yield f"is {size} pixels, its original {original.shape[:2]}, the manifest says {entry.size}"
    else:
        yield from _pixel_faults(np.array(decode_image(content, output)), original, entry, bound)


def _pixel_faults(
    stored: np.ndarray, original: np.ndarray, entry: Entry, bound: Bound
) -> Iterator[str]:
    differences = np.abs(stored.astype(np.int16) - original.astype(np.int16))
    largest = int(differences.max())
    if largest != entry.linf or entry.changed != (largest > 0):
        yield f"differs by {largest} levels from its original, the manifest says {entry.linf}"
    if largest > (bound.levels if entry.attacked else 0):
        yield f"differs by {largest} levels from its original, more than the bound allows"
    if bound.mean_square and entry.attacked:
        root = float(np.sqrt(np.square(differences, dtype=np.float64).mean()))
        if root > bound.eps + 0.5:  # half a level, for rounding
            yield f"differs by {root:.2f} levels (root mean square), more than the bound allows"
