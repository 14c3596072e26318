"""Stored images, checked one by one against their manifest and their originals."""

from __future__ import annotations

import contextlib
import math
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
)
from torchreid_adv.core.pixels import LEVELS, from_levels, whole_levels
from torchreid_adv.core.speaking import progress_bar
from torchreid_adv.core.untrusted import read_regular
from torchreid_adv.data.images import (
    read_image,
)
from torchreid_adv.data.own.written import list_name, list_text
from torchreid_adv.data.records import Record
from torchreid_adv.errors import ConfigError, DataError, VerificationError, printable
from torchreid_adv.models.preprocessing import Preprocessing
from torchreid_adv.models.resizing import FileResize
from torchreid_adv.runs.image_faults import (
    Bound,
    attack_of,
    faults_of_entry,
    faults_of_image,
    has_copies,
)
from torchreid_adv.runs.originals import DataFiles, Originals
from torchreid_adv.runs.promises import UNSEEN
from torchreid_adv.runs.verify_corruption import SAME, CorruptedAgain

_SHOWN = 20


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
        VerificationError: the manifest does not state how far its images may be from their
            originals, or these are outside the data root, in an unknown data set.
    """
    manifest = read_manifest(folder)
    bound, data = _bound(folder, manifest), originals.files(manifest.header.get("data"))
    known = data if isinstance(data, DataFiles) else None
    outside = next((e.source for e in manifest.stored if os.path.isabs(e.source)), "")
    if outside and not known:
        raise VerificationError(
            f"'{folder}' is of images outside of the data root '{originals.root}', such as "
            f"'{printable(outside[:200])}', which are read only where you name their data set; "
            "give it as the run had it, such as -t people.csv"
        )
    faults, good = [*_file_faults(folder, manifest)], []
    faults += _listing_faults(manifest, known)
    again = CorruptedAgain.of(manifest, known)
    for entry in manifest.entries if known else ():
        fault = _left_out_fault(entry, known) if entry.status != OK else ""
        faults += [f"{printable(entry.image_id)}: {fault}"] if fault else []
    for entry in _once(manifest.stored):
        entry_faults = [*faults_of_entry(manifest, entry, known)]
        faults += [f"{entry.output}: {fault}" for fault in entry_faults]
        good += [] if entry_faults else [entry]
    with progress_bar("verifying", total=len(good)) as bar:
        for entry in good:
            try:
                path = known.path(entry) if known else originals.path(entry)
                resize = _resize(manifest, entry)
                entry_faults = [*faults_of_image(folder, path, entry, bound, resize)]
                if again and entry.corruption and not entry_faults:
                    entry_faults = [*filter(None, [again.fault(folder, entry)])]
            except DataError as error:
                entry_faults = [str(error)]
            faults += [f"{entry.output}: {fault}" for fault in entry_faults]
            bar.update(1)
    unknown = data if isinstance(data, str) else ""
    return CheckedImages(manifest, bound, tuple(map(printable, faults)), unknown)


def _bound(folder: Path, manifest: Manifest) -> Bound:
    """Return the bound of the attack, whose eps the manifest states in gray levels.

    Corruptions have no bound.
    """
    if "corruption" in manifest.header:
        return Bound(LEVELS, LEVELS)
    attack = attack_of(manifest)
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
    if known and has_copies(manifest):
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


def _resize(manifest: Manifest, entry: Entry) -> FileResize | None:
    """Return the resize of an image before its attack, None if it kept its size."""
    if attack_of(manifest).get("space") != "network" or not entry.attacked:
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
