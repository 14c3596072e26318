"""``verify`` on a run of the standard evaluation: files, hashes, and with the model its figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchreid_adv.commands.score_again import figure_faults
from torchreid_adv.commands.verify_images import verify
from torchreid_adv.errors import AdvError, VerificationError
from torchreid_adv.jobs.manifest import read_manifest, sha256
from torchreid_adv.standard.identity import FILE_NAME
from torchreid_adv.standard.reading import RESULT, read_result
from torchreid_adv.standard.scoring import Judge
from torchreid_adv.standard.tracks import COMPOSED
from torchreid_adv.standard.versions import SIDES


def verify_run(folder: Path, root: Path, judge: Judge | None = None) -> str:
    """Return what was found right of a run, in a sentence.

    Args:
        folder: of one model, that holds ``standard.json``.
        root: data root, below which the originals lie.
        judge: scores the composed images again; None = files only.

    Raises:
        DataError: ``standard.json`` is none, or was changed by hand.
        VerificationError: something does not fit; all faults are named.
    """
    result = read_result(folder / RESULT)
    faults = [*_run_faults(folder, result), *_file_faults(folder, root, result)]
    if faults:
        raise _failed(folder, faults)
    count = sum(len(bounds) for bounds in result["tracks"].values())
    said = (
        f"'{folder / RESULT}' fits its {count} composed sets of images, and these their originals"
    )
    if judge is None:
        return said
    faults = [*figure_faults(folder, result, judge)]
    if faults:
        raise _failed(folder, faults)
    return f"{said}; scored again, they give its figures"


def _failed(folder: Path, faults: list[str]) -> VerificationError:
    return VerificationError(f"'{folder / RESULT}' does not fit: " + "\n  ".join(["", *faults]))


def _places(result: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield track, bound and facts."""
    for track, bounds in result["tracks"].items():
        for eps, facts in bounds.items():
            yield track, eps, facts


def _run_faults(folder: Path, result: dict[str, Any]) -> Iterator[str]:
    """Yield where the result is of another run than the one that the folder says."""
    path = folder / FILE_NAME
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        own = {key: facts[key] for key in ("model", "data", "surrogates", "budget")}
    except (OSError, ValueError, LookupError, TypeError) as error:
        yield f"'{path}' cannot be read: {error}"
        return
    said = {**result, "budget": result["standard"]["definition"]}
    if result["standard"].get("escalated"):  # other budgets than were asked for
        del own["budget"]
    yield from (f"its {key} is not that of '{path}'" for key in own if own[key] != said.get(key))
    run = sha256(json.dumps(facts, sort_keys=True).encode())
    for track, eps, _ in _places(result):
        place = folder / f"{track}-eps{eps}" / COMPOSED
        try:
            header = read_manifest(place).header
        except AdvError:
            continue  # said of the files
        attack = header.get("attack")
        attack = attack if isinstance(attack, dict) else {}
        if (header.get("run"), header.get("track"), attack.get("eps")) != (run, track, float(eps)):
            yield f"'{place}' is of another run, track or bound"


def _file_faults(folder: Path, root: Path, result: dict[str, Any]) -> Iterator[str]:
    for track, eps, facts in _places(result):
        place = folder / f"{track}-eps{eps}" / COMPOSED
        try:
            verify(place, root)
            manifest = read_manifest(place)
        except AdvError as error:
            yield str(error)
            continue
        if manifest.root != facts["manifest"]:
            yield f"'{place}' holds other images than the result is of"
        if any(entry.side != SIDES[track] for entry in manifest.stored):
            yield f"'{place}' holds images of another side than track {track} attacks"
