"""A finished run scored again: every number of its result, from its stored images.

The run is replayed with the model and the data set. Instead of making an attack, its stored images
are read; everything else (features, rankings, the queries of the next attack, the composed
gallery) is computed by the same code as in the run.

On the machine and with the versions that wrote the result, features and numbers are bit-identical:
images are read and scored in the same chunks. Elsewhere features round differently.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_adv.core.contents import Contents
from torchreid_adv.core.manifest import Entry, Manifest, read_manifest
from torchreid_adv.core.pixels import from_levels
from torchreid_adv.core.provenance import FIELD
from torchreid_adv.data.datasets import Record, ReIDData
from torchreid_adv.distances import Distance
from torchreid_adv.errors import VerificationError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.models.cuda import repeatable
from torchreid_adv.models.pixel_model import ImageModel
from torchreid_adv.standard import ensemble
from torchreid_adv.standard.flags import Trials, of_model, of_trials
from torchreid_adv.standard.identity import environment, run_identity
from torchreid_adv.standard.inspection import inspect_model
from torchreid_adv.standard.per_query import kept_scores
from torchreid_adv.standard.reading import SEAL
from torchreid_adv.standard.result import result as result_of
from torchreid_adv.standard.run import averaged_model, make_setting, run_tracks
from torchreid_adv.standard.sample import clean_facts, sample
from torchreid_adv.standard.scores import QueryScores
from torchreid_adv.standard.session import Session, Stored, in_order
from torchreid_adv.standard.told import Told
from torchreid_adv.standard.versions import SIDES

TOLERANCE = 1e-3  # of shares, if another machine or version wrote the result
CLAIMED = ("version", "environment", FIELD, SEAL)  # not recomputed


@dataclass(frozen=True)
class Scorer:
    """The model, data and rules that score a run again.

    Args:
        model: of the run; behind its defense as :class:`Defended`.
        data: its data set.
        protocol: rules of the scores.
        attacked: the attacked metric, if it is not the ranking one.
        surrogates: network and hash of each, as in results; None = not known, so those of the
            result are trusted.
        workers: processes that read images.
    """

    model: ImageModel
    data: ReIDData
    protocol: Protocol
    attacked: Distance | None = None
    surrogates: Sequence[dict[str, Any]] | None = None
    workers: int = 0


@dataclass(frozen=True)
class Replayed:
    """The outcome of scoring a run again.

    Args:
        content: the recomputed content of ``standard.json``.
        faults: differences from the result in the file, a sentence each.
        exact: compared exactly; otherwise to 0.001, because another machine wrote the result.
        numbers: how many were compared.
        worst: scores of single queries, see :func:`.per_query.kept_scores`.
    """

    content: dict[str, Any]
    faults: tuple[str, ...]
    exact: bool
    numbers: int
    worst: Mapping[str, QueryScores] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredSession(Session):
    """The session of a finished run: its attacks are read from their folders.

    Args:
        scratch: temporary folder for cached values.
        told: surrogates in the result.
        tolerance: share of an attack's images that may differ from those the replay expects.
    """

    scratch: Path = Path()
    told: Sequence[dict[str, Any]] = ()
    tolerance: float = 0.0

    @property
    def job(self) -> Path:
        """Folder of cached values; nothing is written into the run."""
        return self.scratch

    @property
    def transfers(self) -> bool:
        """Whether attacks were transferred from surrogates."""
        return bool(self.told)

    def run(self, name: str, track: str, eps: float, records: Sequence[Record]) -> Stored:
        """Return the stored images of an attack.

        Raises:
            DataError: the manifest is missing or incomplete.
            VerificationError: its images are not those that the attack applies to.
        """
        folder, side = self.out / f"{track}-eps{eps:g}" / name, SIDES[track]
        manifest = read_manifest(folder)
        entries = {entry.image_id: (entry, folder) for entry in manifest.side(side)}
        expected = {record.image_id for record in records}
        wrong = len(expected ^ entries.keys())
        if wrong > self.tolerance * max(len(expected), len(entries)):
            raise VerificationError(
                f"'{folder}' holds {len(entries)} images, and {name} applies to "
                f"{len(expected)}; {wrong} differ"
            )
        told, description = manifest.header.get("attack"), self._description(name, track, eps)
        if description is not None and told != description:
            raise VerificationError(
                f"'{folder}' describes another attack than {name} of version {self.version.name}"
            )
        outputs = {image_id: entry.output for image_id, (entry, _) in entries.items()}
        stored = tuple(r.moved(folder, outputs) for r in self.data.side(side) if r.is_of(outputs))
        return Stored(stored, entries, manifest.root)

    def _description(self, name: str, track: str, eps: float) -> dict[str, Any] | None:
        """Return the description of an attack in its manifest; None for a learned one."""
        if name == "universal":
            return None
        if name in ("transfer", "oblivious"):
            build = ensemble.momentum if name == "transfer" else ensemble.oblivious
            facts = build(self.version, from_levels(eps), self.attacked).describe()
            facts = {**facts, "made_on": "surrogates"}
        else:
            facts = self.attack(name, track, eps).describe()
        plain: dict[str, Any] = json.loads(json.dumps({**facts, "name": name, "eps": eps}))
        return plain

    def compose(self, place: str, entries: dict[str, tuple[Entry, Path]]) -> str:
        """Return the hash that the manifest of the composed images must have."""
        return Manifest({}, in_order(entries)).root


def replay(folder: Path, told: dict[str, Any], scorer: Scorer) -> Replayed:
    """Score a run again and compare its result with the recomputed one.

    Args:
        folder: of the run.
        told: its ``standard.json``, as :func:`read_result` returns it.
        scorer: its model and data set.

    Raises:
        DataError: an attack is missing, or an image cannot be read.
        VerificationError: an attack was run on other images than the scores imply.
    """
    exact = told["environment"] == json.loads(json.dumps(environment()))
    tolerance = 0.0 if exact else TOLERANCE
    with repeatable(), tempfile.TemporaryDirectory() as scratch:
        content = _content(folder, told, scorer, Path(scratch), tolerance)
        worst = kept_scores(Path(scratch), {}, content)
    content |= {name: told[name] for name in CLAIMED if name in told}
    faults = tuple(differences(told, content, tolerance, told["data"]["query"]))
    return Replayed(content, faults, exact, sum(1 for _ in leaves(content)), worst)


def _content(
    folder: Path, told: dict[str, Any], scorer: Scorer, scratch: Path, tolerance: float
) -> dict[str, Any]:
    """Return the result recomputed from the stored images."""
    result = Told(told)
    asked, version = result.asked, result.run
    model = averaged_model(scorer.model, version)
    surrogates = told["surrogates"] if scorer.surrogates is None else list(scorer.surrogates)
    attacked = scorer.attacked or scorer.protocol.distance
    key = run_identity(
        model, scorer.data, asked, (), scorer.protocol, attacked, told["model"]["name"], Contents()
    )
    identity = dict(key.facts)
    identity["surrogates"] = surrogates
    session = make_setting(
        model, scorer.data, folder, version, (), scorer.protocol, scorer.workers, scratch
    )
    facts = {field.name: getattr(session, field.name) for field in dataclasses.fields(session)}
    stored = StoredSession(
        **{**facts, "attacked": attacked}, scratch=scratch, told=surrogates, tolerance=tolerance
    )
    return _replayed(stored, identity, result)


def _replayed(session: StoredSession, identity: dict[str, Any], told: Told) -> dict[str, Any]:
    scores, chance = session.clean(), session.judge.chances()
    sampled = sample(session.data.query, ~np.isnan(scores.ap), session.version.sample)
    inspection = inspect_model(session, sampled, scores, chance)
    gradient = inspection.no_gradient < 1
    session = dataclasses.replace(session, gradient=gradient)
    rows = np.isin(session.judge.query.image_ids, [record.image_id for record in sampled])
    trials = _trials(told, clean_facts(scores, rows, float(chance[rows].mean())))
    checks = [
        *of_model(inspection),
        *([] if inspection.black_box else of_trials(Trials.of(trials))),
    ]
    tracks, further = run_tracks(session, tuple(told.content["tracks"]), inspection.chance)
    result = result_of(
        session, identity, told.asked, tracks, inspection, trials, [*checks, *further]
    )
    content: dict[str, Any] = json.loads(json.dumps(result))
    return content


def _trials(told: Told, clean: dict[str, Any]) -> dict[str, Any]:
    """Return the trials in the result, updated with the facts that clean images decide."""
    trials = dict(told.content["curve"])
    for name in ("curve", "rank1"):
        if "0" in trials[name]:
            trials[name] = {**trials[name], "0": clean[name][0]}
    return {**trials, "chance": clean["chance"], "queries": clean["queries"]}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and the value of every leaf of a JSON tree."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}.{number}" if path else str(number))
    else:
        yield path, value


def differences(told: Any, computed: Any, tolerance: float, queries: int) -> Iterator[str]:
    """Yield the differences of a claimed tree from a computed one, a sentence each.

    Args:
        told: the claimed tree.
        computed: the computed tree.
        tolerance: of shares and other real numbers; counts of queries may differ by this share
            of the queries.
        queries: number of queries.
    """
    claimed, recomputed = dict(leaves(told)), dict(leaves(computed))
    for path, value in recomputed.items():
        if path not in claimed:
            yield f"{path} is {_shown(value)}, and the result does not say so"
        elif not _same(claimed[path], value, tolerance, queries):
            yield f"{path} is {_shown(value)}, the result says {_shown(claimed[path])}"
    yield from (f"{path} is not part of a result" for path in claimed if path not in recomputed)


def _same(told: Any, computed: Any, tolerance: float, queries: int) -> bool:
    if type(told) is int and type(computed) is int:
        return abs(told - computed) <= math.floor(tolerance * queries)
    numbers = all(type(value) in (int, float) for value in (told, computed))
    if numbers and tolerance:
        return bool(abs(told - computed) <= tolerance)
    return bool(told == computed) and (numbers or type(told) is type(computed))


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:80]
