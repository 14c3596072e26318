"""Runs over data sets, from a config or from Python: results.json, the report, the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.attacks import Attack, configured_attack
from torchreid_adv.attacks.build import check_gradient
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.cache import Cache, Key, read_json
from torchreid_adv.core.files import sweep, write_text
from torchreid_adv.core.lock import working_in
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.core.processes import ALONE, Team, joined
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.errors import PARTIAL, DataError
from torchreid_adv.evaluation.attacked import TargetReport
from torchreid_adv.evaluation.of_models import protocol_of
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.models import Ensemble, PixelModel
from torchreid_adv.models.cuda import on_configured_threads
from torchreid_adv.models.loading import scorable
from torchreid_adv.runs.attack_run import AttackJob
from torchreid_adv.runs.defended_run import ADAPTIVE, configured_test
from torchreid_adv.runs.folder import JobFolder, Scorable
from torchreid_adv.runs.inputs import (
    configured_dataset,
    configured_model,
    given_weights,
    unusual,
)
from torchreid_adv.runs.page import write_report
from torchreid_adv.version import __version__

SCHEMA = 1


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        report: its page, or results.json where none is wanted.
        exit_code: 0, or 4 when bad images were left out.
    """

    report: Path
    exit_code: int


def finish(
    out: Path,
    results: dict[str, Any],
    targets: Sequence[TargetReport],
    team: Team = ALONE,
    *,
    page: bool = True,
) -> Outcome:
    """Write results.json and, with ``page``, the report, once."""
    results = {"schema": SCHEMA, "version": __version__, **results}
    results["targets"] = {target.name: target.results for target in targets}
    left_out = any(target.results["images"]["left_out"] for target in targets)
    wanted = out / ("report.html" if page else "results.json")
    outcome = Outcome(wanted, PARTIAL if left_out else 0)
    if team.leads:
        write_text(out / "results.json", json.dumps(results, indent=1) + "\n")
        if page:
            write_report(out, results, targets)
        parts = (".job", ".job/adaptive", "adversarial", ADAPTIVE)
        below = [out / target.name / part for target in targets for part in parts]
        for folder in (out, out / "figures", *below):
            sweep(folder)
    team.wait()
    return outcome


_RULES = ("protocol", "ap_rule", "max_rank", "rerank", "neighbors", "block")


def attack_gallery(
    cfg: AdvConfig, team: Team = ALONE, weights: Callable[[AdvConfig], str] = given_weights
) -> Outcome | None:
    """Attack every target of a config; None for a shard of a job array.

    Args:
        cfg: the whole config.
        team: this process and those it shares the work with.
        weights: finds the weights of ``model.name``, or trains them.
    """
    job = configured_job(cfg)  # what is wrong with it is said before a model is trained
    names = list(dict.fromkeys(cfg.data.targets))
    model, facts = team.first(lambda: configured_model(cfg, weights))
    check_gradient(model, job.attack)
    targets = team.first(lambda: [configured_dataset(cfg, name, tracklets=True) for name in names])
    return attack_targets(cfg, model, facts, targets, Path(cfg.data.save_dir), team)


@on_configured_threads
def attack_targets(
    cfg: AdvConfig,
    model: PixelModel | Ensemble,
    facts: dict[str, Any],
    targets: Sequence[ReIDData],
    out: Path,
    team: Team = ALONE,
    *,
    network: Any = None,
) -> Outcome | None:
    """Attack data sets with a model that is there already, and write everything.

    Args:
        cfg: for the attack and the evaluation.
        model: what is attacked.
        facts: what results.json says of the model.
        targets: the data sets.
        out: folder of the run.
        team: this process and those it shares the work with.
        network: ``facts_of(model)`` where they are known.

    Returns:
        where the report is and how the run ended; None for a shard of a job array.
    """
    job = configured_job(cfg)
    for data in targets:
        job.of(data)  # a protocol that does not fit the last one is said before the first
    identity = identity_of(job, model, facts, network)
    for data in targets:  # another run's folder is refused now, not waited for
        job.folder(out, data.name, identity, team).check_free()
    with working_in(out, team):
        done = [job.run(model, data, out, identity, team) for data in targets]
        reports = [one[0] for one in done if one is not None]
        if len(reports) < len(done):
            return None
        results = {"config": config.plain(cfg), "model": facts}
        return finish(out, results, reports, team, page=cfg.adv.report.page)


def identity_of(
    job: AttackJob, model: PixelModel | Ensemble, facts: dict[str, Any], network: Any = None
) -> dict[str, Any]:
    """Return what makes a run the same run; the network's facts are found out if need be."""
    return {"model": facts["name"], **job.facts(model, network)}


def configured_job(cfg: AdvConfig) -> AttackJob:
    """Return the job of ``adv.attack.*``, by the rules of the config's evaluation."""
    chosen = cfg.adv.attack
    return AttackJob(
        attack=configured_attack(cfg),
        protocol=Protocol.configured(cfg),
        side=chosen.side,
        rule=chosen.reference,
        target=chosen.target_map if chosen.targeted else "",
        quarantine=cfg.adv.job.quarantine,
        chunk=cfg.adv.job.chunk,
        workers=lookup(cfg, "data.workers", 0),
        seed=chosen.seed,
        space=chosen.space,
        copies=cfg.adv.job.copies,
        defense=configured_test(cfg),
    )


def attack_dataset(
    model: Scorable,
    data: ReIDData,
    attack: Attack,
    *,
    side: str = "gallery",
    out: str | Path = "run",
    distance: Distance | None = None,
    **settings: Any,
) -> ReIDData:
    """Attack one side of a data set and return its adversarial version.

    Args:
        model: what is attacked; behind a defense, through it. An entry such as
            ``osnet_x1_0:model.pth`` and a module are loaded, see :func:`load_model`.
        data: see :func:`load_dataset`.
        attack: see :func:`build_attack`.
        side: ``gallery`` or ``query``.
        out: folder for the images, results.json and report.html.
        distance: by which the gallery is ranked; None = Euclidean of normalized features.
        settings: further keywords of :class:`AttackJob` (``chunk``, ``workers``...), and rules of
            the scores: ``protocol`` (a name), ``ap_rule``, ``max_rank``, ``rerank``,
            ``neighbors``, ``block``.

    Returns:
        the stored data set, with the image_ids of the original.

    Raises:
        ConfigError: the folder holds another run, or a protocol that is not the data set's.
        DataError: an image that cannot be used, or nothing to attack.
    """
    model = scorable(model)
    distance = distance or build_distance("euclidean", normalize=True)
    rules = {name: settings.pop(name) for name in _RULES if name in settings}
    protocol = protocol_of(distance, data, **rules)
    job, folder = AttackJob(attack, protocol, side, **settings), Path(out)
    facts = {"name": type(model.network).__name__, "weights": "", "size": list(model.size)}
    facts |= unusual(model)
    with joined() as team, working_in(folder, team):
        done = job.run(model, data, folder, {"model": "", **job.facts(model)}, team)
        assert done is not None  # only a shard has nothing to return
        finish(folder, {"config": {}, "model": facts}, [done[0]], team)
    return done[1].data(data)


STORED, RESULTS = "stored", "results"  # names of what is kept in the folder ``.job`` of a data set


@on_configured_threads
def kept_run(
    cfg: AdvConfig,
    model: PixelModel | Ensemble,
    facts: dict[str, Any],
    targets: Sequence[ReIDData],
    folder: Path,
    title: str,
    *,
    network: Any = None,
    scores: bool = True,
) -> dict[str, Any]:
    """Attack data sets unless the results are there, and return them by data set.

    Results by other rules than the config's do not count: what is stored is scored again.

    Args:
        cfg: for the attack, the defense and the evaluation.
        model: what is attacked.
        facts: what results.json says of the model.
        targets: the data sets.
        folder: of the run; one that was interrupted goes on.
        title: printed above a run that is made.
        network: ``facts_of(model)`` where they are known.
        scores: whether the results have to be by the rules of ``cfg``; without it those by other
            rules will do, because only the stored images are wanted.

    Raises:
        ConfigError: the folder holds another run.
        DataError: the images are not those that the run began with.
    """
    job = configured_job(cfg)
    identity = identity_of(job, model, facts, network)
    kept = [_Kept.of(job, data, folder, identity) for data in targets]
    with working_in(folder):
        found = {one.place.name: one.find(RESULTS if scores else STORED) for one in kept}
        if not all(found.values()):
            print(f"\n##### {title} #####")
            attack_targets(cfg, model, facts, targets, folder, network=identity["network"])
            results = read_json(folder / "results.json")["targets"]
            found = {one.place.name: one.keep(results[one.place.name]) for one in kept}
        return found


@dataclass(frozen=True)
class _Kept:
    """What is kept of a run on one data set.

    Args:
        place: its folder.
        data: what tells the data set from any other one.
        rules: what decides the scores.
    """

    place: JobFolder
    data: dict[str, Any]
    rules: dict[str, Any]

    @classmethod
    def of(cls, job: AttackJob, data: ReIDData, folder: Path, identity: dict[str, Any]) -> _Kept:
        """Refuse the folder of another run, or of other images."""
        place = job.folder(folder, data.name, identity)
        place.check_free()
        noted, rules = place.same_images(data), job.of(data).score_facts()
        return cls(place, noted["data"] if noted else place.data_facts(data), rules)

    def find(self, name: str) -> dict[str, Any]:
        """Return the kept results of what is stored now; {} where there are none."""
        kept = Cache(self.place.path).find(name, self._key(name))
        if kept is None or not kept["root"] or kept["root"] != self._root():
            return {}
        results: dict[str, Any] = kept["results"]
        return results

    def keep(self, results: dict[str, Any]) -> dict[str, Any]:
        """Keep results by their rules, and as those of some rules."""
        content = {"root": self._root(), "results": results}
        for name in (RESULTS, STORED):
            Cache(self.place.path).put(name, self._key(name), content)
        return results

    def _key(self, name: str) -> Key:
        rules = self.rules if name == RESULTS else {}
        return Key.of(run=self.place.key.facts, data=self.data, rules=rules)

    def _root(self) -> str:
        """Return the root of what is stored; "" where that is not whole."""
        try:
            return read_manifest(self.place.variant).root
        except DataError:
            return ""
