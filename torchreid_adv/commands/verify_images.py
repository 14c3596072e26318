"""A stored variant, held against its manifest and its originals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_adv.data.images import read_pixels, resized
from torchreid_adv.errors import DataError, VerificationError
from torchreid_adv.jobs.manifest import FILE_NAME, Entry, Manifest, read_manifest, sha256
from torchreid_adv.jobs.paths import inside
from torchreid_adv.jobs.progress import progress_bar
from torchreid_adv.pixels import LEVELS, from_levels, whole_levels

_SHOWN = 20


def verify(folder: Path, root: Path) -> str:
    """Return what was found right, in a sentence.

    Args:
        folder: a variant, with its manifest.
        root: data root, below which the originals lie.

    Raises:
        DataError: there is no whole manifest.
        VerificationError: a file is missing, too many, changed, or farther from its original than
            the bound; all faults are counted, the first ones named.
    """
    manifest = read_manifest(folder)
    faults = [*_names(folder, manifest)]
    bound, network = _bound(manifest), _attack(manifest).get("space") == "network"
    with progress_bar("verifying", total=len(manifest.stored)) as bar:
        for entry in manifest.stored:
            found = _faults(folder, root, entry, bound, scaled=network and entry.attacked)
            faults += [f"{entry.output}: {fault}" for fault in found]
            bar.update(1)
    if faults:
        more = f"\n  and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise VerificationError(
            f"'{folder}' is not what its manifest says, {len(faults)} faults:\n  "
            + "\n  ".join(faults[:_SHOWN])
            + more
        )
    largest = max((entry.linf for entry in manifest.stored), default=0)
    return (
        f"{len(manifest.stored)} images are as the manifest says; largest difference {largest} of "
        f"{LEVELS} gray levels, bound {bound}; root {manifest.root}"
    )


def _names(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with the names: twice there, or not in the manifest."""
    outputs = [entry.output for entry in manifest.stored]
    seen: set[str] = set()
    for name in outputs:
        if name.lower() in seen:
            yield f"{name}: named twice in the manifest"
        seen.add(name.lower())
    known = {*outputs, FILE_NAME}
    for place, _, files in os.walk(folder):
        for file in sorted(files):
            name = (Path(place) / file).relative_to(folder).as_posix()
            if name not in known:
                yield f"{name}: not in the manifest"


def _attack(manifest: Manifest) -> dict[str, Any]:
    attack: dict[str, Any] = manifest.header.get("attack", {})
    return attack


def _bound(manifest: Manifest) -> int:
    """Return the largest difference the attack allows, in whole gray levels."""
    eps = _attack(manifest).get("eps")
    return LEVELS if eps is None else whole_levels(from_levels(float(eps)))


def _faults(
    folder: Path, root: Path, entry: Entry, bound: int, *, scaled: bool = False
) -> Iterator[str]:
    """Yield what is wrong with one image; a scaled one is held against its resized original."""
    try:
        content = inside(folder, entry.output).read_bytes()
        source = (root / entry.source).read_bytes()
        stored, original = read_pixels(folder / entry.output), read_pixels(root / entry.source)
    except (OSError, DataError) as error:
        yield str(error)
        return
    if sha256(content) != entry.sha256:
        yield "its bytes have changed"
    if sha256(source) != entry.source_sha256:
        yield f"its original {entry.source} has changed"
    original = resized(original, entry.size) if scaled else original
    if stored.shape != original.shape or stored.shape[:2] != entry.size:
        yield f"is {stored.shape[:2]} pixels, its original {original.shape[:2]}"
        return
    difference = int(np.abs(stored.astype(np.int16) - original.astype(np.int16)).max())
    if difference != entry.linf or entry.changed != (difference > 0):
        yield f"differs by {difference} levels from its original, the manifest says {entry.linf}"
    if difference > (bound if entry.attacked else 0):
        yield f"differs by {difference} levels from its original, more than the bound allows"
