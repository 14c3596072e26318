"""A run of the standard evaluation, checked in three steps: its seal, its files, its model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.core.cache import Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.core.files import inside
from torchreid_adv.core.manifest import Entry, Manifest
from torchreid_adv.core.provenance import without
from torchreid_adv.core.untrusted import read_json
from torchreid_adv.errors import AdvError, VerificationError, printable
from torchreid_adv.runs.originals import DataFiles, Originals
from torchreid_adv.runs.verify import UNSEEN, check_variant, described
from torchreid_adv.standard.identity import FILE_NAME, listing
from torchreid_adv.standard.judge import Judge
from torchreid_adv.standard.reading import LARGEST, RESULT, read_result
from torchreid_adv.standard.replay import TOLERANCE, Replayed, Scorer, replay
from torchreid_adv.standard.scores import CLEAN, COMPOSED
from torchreid_adv.standard.session import WORST
from torchreid_adv.standard.told import Place, Told
from torchreid_adv.standard.versions import SIDES

_TOLD = ("model", "data", "surrogates", "metric", "protocol", "version")  # in run.json, too
NOT_SCORED = (
    "Not recomputed: the curve, the trials behind UNB, ITER, MONO, SILENT and CONV, the "
    "environment, and command, date, device and versions."
)


@dataclass(frozen=True)
class CheckedRun:
    """The result of checking the files of a run.

    Args:
        faults: all faults, a sentence each.
        images: number of images that were compared with their originals.
        unknown: why its data set is not known, "" if it is.
    """

    faults: tuple[str, ...]
    images: int
    unknown: str = ""


def verify_run(
    folder: Path,
    root: Path,
    judge: Judge | Scorer | None = None,
    *,
    originals: Originals | None = None,
) -> str:
    """Verify a run and return the result in sentences.

    Args:
        folder: of one model, that holds ``standard.json``.
        root: data root, the folder of the originals.
        judge: model and data set that score the run again; None = files only.
        originals: data sets that are loaded already; None = the judge's, or those below ``root``.

    Raises:
        DataError: ``standard.json`` is missing, inconsistent, or was changed by hand.
        VerificationError: something does not match; the message names all faults.
    """
    result = read_result(folder / RESULT)
    scorer = _scorer(judge)
    if originals is None:
        originals = Originals(root) if scorer is None else Originals.of(root, scorer.data)
    report = files_checked(folder, result, originals)
    if scorer is None:
        return f"{report}\n{UNSEEN}"
    return f"{report}\n{scored(score_again(folder, result, scorer))}\n{NOT_SCORED}\n{UNSEEN}"


def files_checked(folder: Path, result: dict[str, Any], originals: Originals) -> str:
    """Check the files of a run and return the result in sentences.

    Raises:
        VerificationError: something does not match; the message names all faults.
    """
    checked = check_run(folder, result, originals)
    if checked.faults:
        raise _failed(folder, checked.faults)
    unknown = f"\nIdentities, cameras and sides were not checked: {checked.unknown}"
    return (
        f"Sealed: '{folder / RESULT}' is complete and consistent.\n"
        f"Files checked: {checked.images} stored images match their originals, bounds and "
        f"manifests, and the result.{unknown if checked.unknown else ''}"
    )


def score_again(folder: Path, result: dict[str, Any], scorer: Scorer) -> Replayed:
    """Score a run again after its files were checked.

    Raises:
        VerificationError: the model gives other numbers; the message names all of them.
    """
    try:
        replayed = replay(folder, result, scorer)
    except AdvError as error:
        raise _failed(folder, [str(error)]) from error
    if replayed.faults:
        raise _failed(folder, replayed.faults)
    return replayed


def scored(replayed: Replayed) -> str:
    """Return a sentence on how precisely the numbers were confirmed."""
    how = "exactly" if replayed.exact else f"to {TOLERANCE} (another machine or version wrote it)"
    return f"Scored again: the model gives its {replayed.numbers} values {how}."


def _scorer(judge: Judge | Scorer | None) -> Scorer | None:
    if isinstance(judge, Judge):
        return Scorer(judge.model, judge.data, judge.protocol, workers=judge.workers)
    return judge


def _failed(folder: Path, faults: tuple[str, ...] | list[str]) -> VerificationError:
    return VerificationError(
        f"'{folder / RESULT}' does not match: " + "\n  ".join(["", *map(_line, faults)])
    )


def _line(fault: str) -> str:
    return "\n".join(map(printable, fault.split("\n")))


def check_run(folder: Path, result: dict[str, Any], originals: Originals) -> CheckedRun:
    """Check the files of a run against its result.

    Args:
        folder: of the run.
        result: content of its ``standard.json``.
        originals: the data sets of its images.
    """
    data = originals.files(result["data"]["name"])
    known = data if isinstance(data, DataFiles) else None
    faults, run = [*_data_faults(result, known)], _Run(folder, result, originals)
    faults += run.identity_faults()
    images, told = 0, Told(result)
    for track, eps, facts in told.places:
        place = Place(told, track, eps, facts)
        place_faults = [*run.place_faults(place)]
        faults += place_faults
        images += run.images
    return CheckedRun(tuple(faults), images, "" if known else str(data))


def _data_faults(result: dict[str, Any], known: DataFiles | None) -> Iterator[str]:
    """Yield the differences between a result and the loaded data set."""
    if known is None:
        return
    told, data = result["data"], known.data
    sizes = {side: len(data.side(side)) for side in ("query", "gallery", "train")}
    wrong = [side for side, size in sizes.items() if told[side] != size]
    if wrong or told["listing"] != listing(data, Contents()):
        yield (
            f"'{data.name}' as loaded here has other images, identities or cameras than the "
            "result says; if the run had other data set options, give its flags"
        )


@dataclass
class _Run:
    """The folder of a run and its result.

    Args:
        folder: of the run.
        result: content of its ``standard.json``.
        originals: the data sets of its images.
        run: hash of the run's identity, which its manifests repeat.
        images: number in the place that was checked last.
    """

    folder: Path
    result: dict[str, Any]
    originals: Originals
    run: str = ""
    images: int = 0

    def identity_faults(self) -> list[str]:
        """Return the differences between the result and the run of the folder."""
        path = self.folder / FILE_NAME
        try:
            facts = without(read_json(inside(self.folder, FILE_NAME), LARGEST))
            self.run = Key(facts).digest
            told = facts["attacked_metric"] == facts["metric"]
            environment = facts["torch"], facts["threads"]
            claimed = {key: facts[key] for key in _TOLD}
            budget = facts["budget"]
        except (AdvError, LookupError, TypeError, ValueError) as error:
            return [f"'{path}' cannot be read: {error}"]
        wrong = [key for key in claimed if claimed[key] != self.result[key]]
        if budget != Told(self.result).asked.facts():  # other than those of an escalated run
            wrong.append("budget")
        if told != self.result["looks"]["same_metric"]:
            wrong.append("attacked metric")
        if environment != tuple(self.result["environment"].get(k) for k in ("torch", "threads")):
            wrong.append("environment")
        return [f"its {key} is not that of '{path}'" for key in wrong]

    def place_faults(self, place: Place) -> Iterator[str]:
        """Yield the faults of the folders of one track and bound."""
        self.images = 0
        folder = self.folder / f"{place.track}-eps{place.eps}"
        names = [name for name in place.attacks if name != COMPOSED]
        yield from _folder_faults(folder, {*names, COMPOSED})
        manifests: dict[str, Manifest] = {}
        for name in [*names, COMPOSED]:
            try:
                inside(self.folder, (folder / name).relative_to(self.folder).as_posix())
                checked = check_variant(folder / name, self.originals)
            except AdvError as error:
                yield str(error)
                continue
            self.images += len(checked.manifest.stored)
            manifests[name] = checked.manifest
            if checked.faults:
                yield described(folder / name, checked.faults)
            yield from self._manifest_faults(place, folder / name, checked.manifest)
        if len(manifests) == len(names) + 1:
            composed = manifests.pop(COMPOSED)
            faults = _query_faults if place.track == "Q" else _gallery_faults
            yield from (f"'{folder}': {fault}" for fault in faults(place, manifests, composed))

    def _manifest_faults(self, place: Place, folder: Path, manifest: Manifest) -> Iterator[str]:
        """Yield the differences of a manifest from this run, track, bound and attack."""
        header = dict(manifest.header)
        attack = header.pop("attack", None)
        expected = {"run": self.run, "track": place.track, "data": self.result["data"]["name"]}
        protocol = header.pop("protocol", None)
        header.pop("names", None)  # names of the identities and cameras
        name = WORST if folder.name == COMPOSED else folder.name
        told = (attack.get("name"), attack.get("eps")) if isinstance(attack, dict) else ()
        if protocol not in ("", self.result["protocol"]["name"]):
            yield f"'{folder}' belongs to a data set that is scored by '{protocol}'"
        if header != expected or told != (name, float(place.eps)):
            yield f"'{folder}' belongs to another run, track, bound or attack"
        if folder.name == COMPOSED and manifest.root != place.facts["manifest"]:
            yield f"'{folder}' holds other images than those of the result"
        if any(entry.side != SIDES[place.track] for entry in manifest.entries):
            yield f"'{folder}' holds images of another side than track {place.track} attacks"
        if len(manifest.stored) < len(manifest.entries):
            yield f"'{folder}' leaves images out, which no run of the standard evaluation does"


def _folder_faults(folder: Path, expected: set[str]) -> Iterator[str]:
    """Yield everything in a place except the folders of its attacks."""
    if folder.is_symlink() or not folder.is_dir():
        yield f"'{folder}' is not a folder"
        return
    names = {path.name for path in folder.iterdir()}
    yield from (
        f"'{folder / name}' belongs to no attack of the run" for name in sorted(names - expected)
    )


def _sources(
    manifests: dict[str, Manifest], composed: Manifest
) -> tuple[dict[str, set[str]], list[str]]:
    """Return image_id -> attacks that made the composed image, and the images of no attack."""
    attacks_of: dict[Entry, set[str]] = {}
    for name, manifest in manifests.items():
        for entry in manifest.stored:
            attacks_of.setdefault(entry, set()).add(name)
    sources = {entry.image_id: attacks_of.get(entry, set()) for entry in composed.stored}
    return sources, [name for name, attacks in sources.items() if not attacks]


def _query_faults(
    place: Place, manifests: dict[str, Manifest], composed: Manifest
) -> Iterator[str]:
    """Yield the counts of queries that differ from those of the stored images."""
    for name, manifest in manifests.items():
        if len(manifest.stored) != place.attacks[name]["queries"]:
            yield f"{name} has {len(manifest.stored)} images, the result says another number"
    sources, foreign = _sources(manifests, composed)
    if foreign:
        yield f"{len(foreign)} composed images are those of no attack, '{foreign[0]}' for one"
    for name, row in place.attacks.items():
        possible = sum(name in attacks for attacks in sources.values())
        certain = sum(attacks == {name} for attacks in sources.values())
        if not certain <= row["won"] <= possible:
            yield f"{name} is worst for {possible} queries at most, the result says {row['won']}"
    won = sum(row["won"] for row in place.attacks.values())
    if won != len(composed.stored):
        yield f"{len(composed.stored)} images are composed, the result says {won}"


def _gallery_faults(
    place: Place, manifests: dict[str, Manifest], composed: Manifest
) -> Iterator[str]:
    """Yield the differences of the composed gallery and its counts from the stored images."""
    sources, foreign = _sources(manifests, composed)
    if foreign:
        yield f"{len(foreign)} composed images are those of no attack, '{foreign[0]}' for one"
    attacked = {entry.image_id for manifest in manifests.values() for entry in manifest.stored}
    if len(attacked) != round(place.facts["attacked"] * place.told.content["data"]["gallery"]):
        yield f"{len(attacked)} gallery images are attacked, the result says another share"
    of_pid: dict[int, set[str]] = {}
    for entry in composed.stored:
        known = of_pid.setdefault(entry.pid, sources[entry.image_id])
        of_pid[entry.pid] = known & sources[entry.image_id]
    mixed = [pid for pid, attacks in of_pid.items() if not attacks]
    if mixed and not foreign:
        yield f"the images of identity {mixed[0]} are of several attacks"
    if place.facts["gallery"] != COMPOSED:
        return
    identities = place.facts["identities"]
    for name in manifests:
        possible = sum(name in attacks for attacks in of_pid.values())
        certain = sum(attacks == {name} for attacks in of_pid.values())
        if not certain <= identities.get(name, 0) <= possible:
            yield f"{name} is chosen for {possible} identities at most, the result says another"
    composed_identities = sum(count for name, count in identities.items() if name != CLEAN)
    if composed_identities != len(of_pid):
        yield f"{len(of_pid)} identities are composed, the result says {composed_identities}"
