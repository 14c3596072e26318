"""Runs inside a larger job: made once, then read back from their folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.commands.attack_gallery import attack_targets, configured_job, identity_of
from torchreid_adv.commands.job_folder import JobFolder
from torchreid_adv.config import AdvConfig
from torchreid_adv.core.cache import Cache, Key, read_json
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.errors import DataError
from torchreid_adv.jobs.manifest import read_manifest
from torchreid_adv.models import Ensemble, PixelModel

_NAME = "results"  # of the kept results, in the folder ``.job`` of their data set


def kept_run(
    cfg: AdvConfig,
    model: PixelModel | Ensemble,
    facts: dict[str, Any],
    targets: Sequence[ReIDData],
    folder: Path,
    title: str,
    *,
    network: Any = None,
) -> dict[str, Any]:
    """Attack data sets unless the results are there, and return them by data set.

    Args:
        cfg: for the attack, the defense and the evaluation.
        model: what is attacked.
        facts: what results.json says of the model.
        targets: the data sets.
        folder: of the run; one that was interrupted goes on.
        title: printed above a run that is made.
        network: ``facts_of(model)`` where they are known.

    Raises:
        ConfigError: the folder holds another run.
        DataError: the images are not those that the run began with.
    """
    if cfg.adv.job.threads:
        torch.set_num_threads(cfg.adv.job.threads)
    job = configured_job(cfg)
    identity = identity_of(job, model, facts, network)
    folders = {data.name: job.folder(folder, data.name, identity) for data in targets}
    keys = {}
    for data in targets:
        place = folders[data.name]
        place.check_free()
        place.same_images(data)
        keys[data.name] = Key.of(
            run=place.key.facts, data=place.data_facts(data), scores=job.score_facts()
        )
    found = {name: _found(place, keys[name]) for name, place in folders.items()}
    if not all(found.values()):
        print(f"\n##### {title} #####")
        attack_targets(cfg, model, facts, targets, folder, network=identity["network"])
        results = read_json(folder / "results.json")["targets"]
        found = {name: _keep(place, keys[name], results[name]) for name, place in folders.items()}
    return found


def _found(place: JobFolder, key: Key) -> dict[str, Any]:
    """Return the kept results of what is stored now; {} where there are none."""
    kept = Cache(place.path).find(_NAME, key)
    if kept is None or kept["root"] != _root(place):
        return {}
    results: dict[str, Any] = kept["results"]
    return results


def _keep(place: JobFolder, key: Key, results: dict[str, Any]) -> dict[str, Any]:
    Cache(place.path).put(_NAME, key, {"root": _root(place), "results": results})
    return results


def _root(place: JobFolder) -> str:
    """Return the root of what is stored; "" where that is not whole."""
    try:
        return read_manifest(place.variant).root
    except DataError:
        return ""
