"""Runs inside a larger job: made once, then read back from their folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchreid_adv.commands.attack_gallery import attack_targets, configured_job, identity_of
from torchreid_adv.commands.attack_job import AttackJob
from torchreid_adv.commands.job_folder import JobFolder
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.cache import Cache, Key, read_json
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.errors import DataError
from torchreid_adv.jobs.lock import working_in
from torchreid_adv.jobs.manifest import read_manifest
from torchreid_adv.models import Ensemble, PixelModel
from torchreid_adv.models.kernels import on_configured_threads

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
