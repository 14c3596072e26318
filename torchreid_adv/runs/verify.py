"""Stored images, checked one by one against their manifest and their originals."""

from __future__ import annotations

import contextlib
import io
import math
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from torchreid_adv import config
from torchreid_adv.core.files import inside, name_fault
from torchreid_adv.core.manifest import (
    FILE_NAME,
    LARGEST,
    OK,
    Entry,
    Manifest,
    is_count,
    is_number,
    read_manifest,
    sha256,
)
from torchreid_adv.core.pixels import LEVELS, from_levels, whole_levels
from torchreid_adv.core.speaking import progress_bar
from torchreid_adv.core.untrusted import read_regular
from torchreid_adv.data.containers import PNG, png_size
from torchreid_adv.data.images import (
    BYTES_PER_PIXEL,
    FORMATS,
    decode_image,
    read_image,
)
from torchreid_adv.data.own.written import list_name, list_text
from torchreid_adv.data.records import Record
from torchreid_adv.errors import ConfigError, DataError, VerificationError, printable
from torchreid_adv.models.preprocessing import Preprocessing
from torchreid_adv.models.resizing import FileResize
from torchreid_adv.runs.originals import DataFiles, Originals
from torchreid_adv.runs.promises import UNSEEN
from torchreid_adv.runs.verify_corruption import SAME, CorruptedAgain

_SHOWN = 20
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


@dataclass(frozen=True)
class CheckedImages:
    """The result of checking a variant.

    Args:
        manifest: of the variant.
        bound: of its attack.
        faults: all faults, a sentence each.
        unknown: why its data set is not known, "" if it is.
    """

    manifest: Manifest
    bound: Bound
    faults: tuple[str, ...]
    unknown: str = ""


def verify(folder: Path, root: Path, originals: Originals | None = None) -> str:
    """Check the files of a variant and return the result as a sentence.

    Args:
        folder: a variant, with its manifest.
        root: data root, the folder of the originals.
        originals: data sets that are loaded already; None = loaded from ``root`` as manifests say.

    Raises:
        DataError: the manifest is missing or incomplete.
        VerificationError: a file is missing, unexpected, changed, of another image or identity, or
            farther from its original than the bound; the message counts all faults and names the
            first ones.
    """
    checked = check_variant(folder, originals or Originals(root))
    if checked.faults:
        raise VerificationError(described(folder, checked.faults))
    stored = checked.manifest.stored
    largest = max((entry.linf for entry in stored), default=0)
    unknown = f"\nIdentities, cameras and sides were not checked: {checked.unknown}"
    corrupted = "corruption" in checked.manifest.header and not checked.unknown
    return (
        f"Files checked: {len(stored)} images match the manifest; largest difference "
        f"{largest} of {LEVELS} gray levels, bound {checked.bound}; root {checked.manifest.root}. "
        f"{SAME if corrupted else UNSEEN}{unknown if checked.unknown else ''}"
    )


def described(folder: Path, faults: Sequence[str]) -> str:
    """Return the number of faults and the first ones as one text."""
    more = f"\n  and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return (
        f"'{folder}' does not match its manifest, {len(faults)} faults:\n  "
        + "\n  ".join(faults[:_SHOWN])
        + more
    )


def check_variant(folder: Path, originals: Originals) -> CheckedImages:
    """Check every stored image of a variant: names, labels, bytes, size, distance to its original.

    Args:
        folder: a variant, with its manifest.
        originals: the data sets of its images.

    Raises:
        DataError: the manifest is missing or incomplete.
        VerificationError: the manifest does not state the bound of its attack.
    """
    manifest = read_manifest(folder)
    bound, data = _bound(folder, manifest), originals.files(manifest.header.get("data"))
    known = data if isinstance(data, DataFiles) else None
    faults, good = [*_file_faults(folder, manifest)], []
    faults += _listing_faults(manifest, known)
    again = CorruptedAgain.of(manifest, known)
    for entry in manifest.entries if known else ():
        fault = _left_out_fault(entry, known) if entry.status != OK else ""
        faults += [f"{printable(entry.image_id)}: {fault}"] if fault else []
    for entry in _once(manifest.stored):
        entry_faults = [*_entry_faults(manifest, entry, known)]
        faults += [f"{entry.output}: {fault}" for fault in entry_faults]
        good += [] if entry_faults else [entry]
    with progress_bar("verifying", total=len(good)) as bar:
        for entry in good:
            try:
                path = known.path(entry) if known else originals.path(entry)
                resize = _resize(manifest, entry)
                entry_faults = [*_image_faults(folder, path, entry, bound, resize)]
                if again and entry.corruption and not entry_faults:
                    entry_faults = [*filter(None, [again.fault(folder, entry)])]
            except DataError as error:
                entry_faults = [str(error)]
            faults += [f"{entry.output}: {fault}" for fault in entry_faults]
            bar.update(1)
    unknown = data if isinstance(data, str) else ""
    return CheckedImages(manifest, bound, tuple(map(printable, faults)), unknown)


def _attack(manifest: Manifest) -> dict[str, Any]:
    attack = manifest.header.get("attack")
    return attack if isinstance(attack, dict) else {}


def _bound(folder: Path, manifest: Manifest) -> Bound:
    """Return the bound of the attack, whose eps the manifest states in gray levels.

    Corruptions have no bound.
    """
    if "corruption" in manifest.header:
        return Bound(LEVELS, LEVELS)
    attack = _attack(manifest)
    eps, linf = attack.get("eps"), attack.get("linf", attack.get("eps"))
    both = attack.get("perturbation") == "both" and attack.get("budget") == "sum"
    if not is_number(eps) or not 0 <= eps <= LEVELS:
        raise VerificationError(
            f"'{folder / FILE_NAME}' does not state the eps of its attack as a number of gray "
            f"levels from 0 to {LEVELS}"
        )
    if not is_number(linf) or abs(linf - min(LEVELS, eps * (2 if both else 1))) > 1e-5:
        raise VerificationError(
            f"'{folder / FILE_NAME}' states another bound (linf) than the eps of its attack gives"
        )
    mean_square = attack.get("eps_is") == "root mean square"
    return Bound(eps, LEVELS if mean_square else whole_levels(from_levels(linf)), mean_square)


def _file_faults(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Yield the files of a folder that are not in its manifest, and links to other folders."""
    known = {FILE_NAME, list_name(manifest), *(entry.output for entry in manifest.stored)}
    yield from _list_faults(folder, manifest)
    for place, folders, files in os.walk(folder):
        for name in sorted(name for name in folders if (Path(place) / name).is_symlink()):
            yield f"{(Path(place) / name).relative_to(folder).as_posix()}: is a symbolic link"
        for name in sorted(files):
            output = (Path(place) / name).relative_to(folder).as_posix()
            if output not in known:
                yield f"{output}: not in the manifest"


def _list_faults(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Yield the list's name if it differs from the manifest; earlier versions wrote no list."""
    path = folder / list_name(manifest)
    if os.path.lexists(path):
        try:
            written = read_regular(inside(folder, path.name), LARGEST)
            same = written == (list_text(manifest) or "").encode()
        except (OSError, ValueError):
            same = False
        if not same:
            yield f"{path.name}: is not the list of the images in the manifest"


def _listing_faults(manifest: Manifest, known: DataFiles | None) -> Iterator[str]:
    """Yield duplicates in the manifest, and images of the data set that are missing in it."""
    for kind in ("output", "image_id"):
        seen: set[str] = set()
        for entry in manifest.entries if kind == "image_id" else manifest.stored:
            name = getattr(entry, kind)
            folded = _folded(name)
            if folded in seen:
                yield f"{name}: named twice in the manifest ({kind})"
            seen.add(folded)
    if known and _has_copies(manifest):
        listed = {entry.image_id for entry in manifest.entries}
        missing = [name for name in known.files if name not in listed]
        yield from (f"{name}: missing in the manifest" for name in missing)


def _left_out_fault(entry: Entry, known: DataFiles | None) -> str:
    """Return why an image should not have been left out, "" if it is bad."""
    if known is None:
        return ""
    side, file = known.files.get(entry.image_id, ("", None))
    if file is None:
        return f"was left out, and '{known.data.name}' as loaded here has no such image"
    if (entry.side, entry.pid, entry.camid) != (side, file.pid, file.camid):
        return "was left out with another side, identity or camera"
    tracklet = [f for _, f in known.files.values() if file.tracklet and f.tracklet == file.tracklet]
    if any(map(_is_bad, tracklet or [file])):
        return ""
    return "was left out, and its original is a good image"


def _is_bad(file: Record) -> bool:
    try:
        return bool(name_fault(file.image_id)) or read_image(file.path) is None
    except DataError:
        return True


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _once(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries, each output once."""
    return list({_folded(entry.output): entry for entry in reversed(entries)}.values())[::-1]


def _entry_faults(manifest: Manifest, entry: Entry, known: DataFiles | None) -> Iterator[str]:
    """Yield the faults of an entry that are visible without opening a file."""
    fault = known.fault(entry) if known else ""
    if fault:
        yield fault
    if os.path.splitext(entry.image_id)[0] + ".png" != entry.output:
        yield f"is the file of another image than '{entry.image_id}'"
    side = _attack(manifest).get("side")
    if entry.attacked and side is not None and entry.side != side:
        yield f"is a {entry.side} image, and the attack is on the {side} side"
    if bool(entry.corruption) != (entry.attacked and "corruption" in manifest.header):
        yield "is corrupted and does not say how, or says how and is not corrupted"
    if not entry.attacked and not _has_copies(manifest):
        yield "was not attacked, and the manifest lists only attacked images"


def _resize(manifest: Manifest, entry: Entry) -> FileResize | None:
    """Return the resize of an image before its attack, None if it kept its size."""
    if _attack(manifest).get("space") != "network" or not entry.attacked:
        return None
    sizes = network_sizes(manifest.header.get("network"))
    if sizes != {entry.size}:
        raise DataError(f"is {entry.size} pixels, the network's input {sorted(sizes)}")
    if math.prod(entry.size) > config.current().adv.data.max_pixels:
        raise DataError(f"is {entry.size} pixels, more than adv.data.max_pixels")
    return told_resize(entry.size, manifest.header.get("resize", {}))


def told_resize(size: tuple[int, int], facts: Any) -> FileResize:
    """Return the resize that a manifest describes.

    Args:
        size: height and width.
        facts: see :meth:`FileResize.facts`.

    Raises:
        DataError: the facts describe no known resize.
    """
    known = isinstance(facts, dict) and facts.keys() <= {"resize", "letterbox", "pad"}
    pad = facts.get("pad", []) if known else None
    if isinstance(pad, list) and all(map(is_count, pad)):
        with contextlib.suppress(ConfigError):
            return Preprocessing(size, **facts).of_files
    raise DataError(f"comes from a run that resized images by {facts!r}, which is unknown here")


def network_sizes(facts: Any) -> set[tuple[int, int]]:
    """Return the input sizes in a run's facts about its network or networks.

    Args:
        facts: ``network`` of ``run.json``, or a part of it.
    """
    if isinstance(facts, list):
        return set().union(*map(network_sizes, facts))
    if not isinstance(facts, dict):
        return set()
    size = facts.get("size")
    if isinstance(size, list) and len(size) == 2 and all(map(is_count, size)):
        return {(size[0], size[1])}
    return set().union(*map(network_sizes, facts.values()))


def _has_copies(manifest: Manifest) -> bool:
    """Return whether images that are not attacked are stored, too."""
    job = manifest.header.get("job")
    return isinstance(job, dict) and job.get("copies") is True


def _image_faults(
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
