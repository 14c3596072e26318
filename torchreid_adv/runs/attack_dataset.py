"""Runs over data sets, from a config or from Python: results.json, the report, the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from torchreid_adv import config
from torchreid_adv.attacks import Attack, configured_attack
from torchreid_adv.attacks.build import check_gradient
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.cache import Cache, Key, read_json
from torchreid_adv.core.files import sweep, write_text
from torchreid_adv.core.lock import working_in
from torchreid_adv.core.loggers import log, log_file, logging_to
from torchreid_adv.core.manifest import read_manifest
from torchreid_adv.core.processes import ALONE, Team, joined
from torchreid_adv.core.provenance import FIELD, kept_provenance, provenance
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.distances import Distance, build_distance
from torchreid_adv.errors import PARTIAL, DataError
from torchreid_adv.evaluation.attacked import AttackedData
from torchreid_adv.evaluation.of_models import protocol_of
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.models import Ensemble, PixelModel
from torchreid_adv.models.cuda import on_configured_threads
from torchreid_adv.models.features import device_of
from torchreid_adv.models.loading import scorable
from torchreid_adv.runs.attack_run import AttackRun
from torchreid_adv.runs.defended_run import ADAPTIVE, configured_test
from torchreid_adv.runs.folder import RunFolder, Scorable
from torchreid_adv.runs.inputs import (
    configured_dataset,
    configured_model,
    given_weights,
    unusual,
)
from torchreid_adv.runs.page import write_report
from torchreid_adv.runs.result import on_one_line
from torchreid_adv.version import __version__

SCHEMA = 1


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Args:
        report: its page, or results.json for a run without a page.
        exit_code: 0, or 4 when bad images were left out.
    """

    report: Path
    exit_code: int


def finish(
    out: Path,
    results: dict[str, Any],
    targets: Sequence[AttackedData],
    team: Team = ALONE,
    *,
    device: torch.device | None = None,
    page: bool = True,
) -> RunOutcome:
    """Write results.json and, with ``page``, the report, once."""
    doubts = [warning for target in targets for warning in target.warnings]
    origin = {FIELD: provenance(device, warnings=doubts).facts()}
    results = {"schema": SCHEMA, "version": __version__, **origin, **results}
    results["targets"] = {target.name: target.results for target in targets}
    results = kept_provenance(out / "results.json", results)
    left_out = any(target.results["images"]["left_out"] for target in targets)
    report = out / ("report.html" if page else "results.json")
    outcome = RunOutcome(report, PARTIAL if left_out else 0)
    if team.leads:
        write_text(out / "results.json", json.dumps(results, indent=1) + "\n")
        if page:
            write_report(out, results, targets)
        for target in targets:
            log(metrics_of(target.name, target.results))
        log_file(report)
        parts = (".job", ".job/adaptive", "adversarial", ADAPTIVE)
        below = [out / target.name / part for target in targets for part in parts]
        for folder in (out, out / "figures", *below):
            sweep(folder)
    team.wait()
    return outcome


def metrics_of(name: str, results: dict[str, Any]) -> dict[str, float]:
    """Return a data set's values for loggers: ``NAME/condition/measure`` -> share in [0, 1]."""
    defense = results.get("defense") or {}
    scores_of = {kind: results.get(kind) for kind in ("clean", "adversarial")}
    scores_of |= {
        f"defended_{kind}": defense.get(kind) for kind in ("clean", "oblivious", "adaptive")
    }
    return {
        f"{name}/{kind}/{measure}": value
        for kind, scores in scores_of.items()
        if scores
        for measure, value in (("mAP", scores["mAP"]), ("rank1", scores["cmc"]["1"]))
    }


RULES = ("protocol", "ap_rule", "max_rank", "rerank", "neighbors", "block")


def attack_gallery(
    cfg: AdvConfig, team: Team = ALONE, weights: Callable[[AdvConfig], str] = given_weights
) -> RunOutcome | None:
    """Attack every target of a config; None for a shard of a job array.

    Args:
        cfg: the whole config.
        team: this process and those it shares the work with.
        weights: finds the weights of ``model.name``, or trains them.
    """
    job = configured_job(cfg)  # its errors are raised before a model is trained
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
) -> RunOutcome | None:
    """Attack data sets with a loaded model, and write all results.

    Args:
        cfg: for the attack and the evaluation.
        model: to attack.
        facts: the model's entry in results.json.
        targets: the data sets.
        out: folder of the run.
        team: this process and those it shares the work with.
        network: ``facts_of(model)`` where they are known.

    Returns:
        where the report is and how the run ended; None for a shard of a job array.
    """
    job = configured_job(cfg)
    for data in targets:
        job.of(data)  # a wrong protocol for the last set is reported before work on the first
    key = job.key(model, facts["name"], network)
    for data in targets:  # another run's folder is refused now, not waited for
        RunFolder(out, data.name, key, team).check_free()
    loggers = cfg.adv.report.loggers if team.leads else []
    with working_in(out, team), logging_to(*loggers, folder=out):
        attacked = [job.run(model, data, out, key, team) for data in targets]
        reports = [pair[0] for pair in attacked if pair is not None]
        if len(reports) < len(attacked):
            return None
        results = {"config": config.plain(cfg), "model": facts}
        device, page = device_of(model), cfg.adv.report.page
        return finish(out, results, reports, team, device=device, page=page)


def configured_job(cfg: AdvConfig) -> AttackRun:
    """Return the job of ``adv.attack.*`` with the rules of the config's evaluation."""
    keys = cfg.adv.attack
    return AttackRun(
        attack=configured_attack(cfg),
        protocol=Protocol.configured(cfg),
        side=keys.side,
        rule=keys.reference,
        target=keys.target_map if keys.targeted else "",
        quarantine=cfg.adv.job.quarantine,
        chunk=cfg.adv.job.chunk,
        workers=lookup(cfg, "data.workers", 0),
        seed=keys.seed,
        space=keys.space,
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
    distance: Distance | str | None = None,
    page: bool = True,
    **settings: Any,
) -> ReIDData:
    """Attack one side of a data set and return its adversarial version.

    Args:
        model: to attack; behind a defense, through it. An entry such as
            ``osnet_x1_0:model.pth`` and a module are loaded, see :func:`load_model`.
        data: see :func:`load_dataset`.
        attack: see :func:`build_attack`.
        side: ``gallery`` or ``query``.
        out: folder for the images, results.json and report.html.
        distance: that ranks the gallery; None = Euclidean of normalized features.
        page: write report.html, too.
        settings: further keywords of :class:`AttackRun` (``chunk``, ``workers``...), and rules of
            the scores: ``protocol`` (a name), ``ap_rule``, ``max_rank``, ``rerank``,
            ``neighbors``, ``block``.

    Returns:
        the stored data set, with the image_ids of the original.

    Raises:
        ConfigError: the folder holds another run, or the protocol is not the data set's.
        DataError: an image that cannot be used, or nothing to attack.
    """
    model = scorable(model)
    distance = distance or build_distance("euclidean", normalize=True)
    rules = {name: settings.pop(name) for name in RULES if name in settings}
    protocol = protocol_of(distance, data, **rules)
    job, folder = AttackRun(attack, protocol, side, **settings), Path(out)
    facts = {"name": type(model.network).__name__, "weights": "", "size": list(model.size)}
    facts |= unusual(model)
    with joined() as team, working_in(folder, team):
        attacked = job.run(model, data, folder, job.key(model), team)
        assert attacked is not None  # only a shard has nothing to return
        results = {"config": {}, "model": facts}
        finish(folder, results, [attacked[0]], team, device=device_of(model), page=page)
    return attacked[1].data(data)


STORED, RESULTS = "stored", "results"  # names in the cache in the folder ``.job`` of a data set


@on_configured_threads
def run_or_read(
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

    Results by other rules than the config's do not count: the stored images are scored again.

    Args:
        cfg: for the attack, the defense and the evaluation.
        model: to attack.
        facts: the model's entry in results.json.
        targets: the data sets.
        folder: of the run; an interrupted run is resumed.
        title: printed above a run that is made.
        network: ``facts_of(model)`` where they are known.
        scores: whether the results must follow the rules of ``cfg``; if False, results by other
            rules are accepted, because only the stored images are needed.

    Raises:
        ConfigError: the folder holds another run.
        DataError: the images are not those that the run began with.
    """
    job = configured_job(cfg)
    key = job.key(model, facts["name"], network)
    stores = [_ResultStore.of(job, data, folder, key) for data in targets]
    with working_in(folder):
        results_of = {
            store.place.name: store.find(RESULTS if scores else STORED) for store in stores
        }
        if not all(results_of.values()):
            print(f"\n##### {title} #####")
            with on_one_line():
                attack_targets(cfg, model, facts, targets, folder, network=key.facts["network"])
            results = read_json(folder / "results.json")["targets"]
            results_of = {
                store.place.name: store.keep(results[store.place.name]) for store in stores
            }
        return results_of


@dataclass(frozen=True)
class _ResultStore:
    """The cached results of a run on one data set.

    Args:
        place: its folder.
        data: facts that identify the data set.
        rules: facts that decide the scores.
    """

    place: RunFolder
    data: dict[str, Any]
    rules: dict[str, Any]

    @classmethod
    def of(cls, job: AttackRun, data: ReIDData, folder: Path, key: Key) -> _ResultStore:
        """Refuse the folder of another run, or of other images."""
        place = RunFolder(folder, data.name, key, ALONE)
        place.check_free()
        noted, rules = place.same_images(data), job.of(data).score_facts()
        return cls(place, noted["data"] if noted else place.data_facts(data), rules)

    def find(self, name: str) -> dict[str, Any]:
        """Return the cached results of the stored images; {} where there are none."""
        stored = Cache(self.place.path).find(name, self._key(name))
        if stored is None or not stored["root"] or stored["root"] != self._root():
            return {}
        results: dict[str, Any] = stored["results"]
        return results

    def keep(self, results: dict[str, Any]) -> dict[str, Any]:
        """Cache results under their rules, and under no rules for callers that take any."""
        content = {"root": self._root(), "results": results}
        for name in (RESULTS, STORED):
            Cache(self.place.path).put(name, self._key(name), content)
        return results

    def _key(self, name: str) -> Key:
        rules = self.rules if name == RESULTS else {}
        return Key.of(run=self.place.key.facts, data=self.data, rules=rules)

    def _root(self) -> str:
        """Return the hash of the stored images; "" where they are incomplete."""
        try:
            return read_manifest(self.place.stored_images).root
        except DataError:
            return ""
