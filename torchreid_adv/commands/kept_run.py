"""Runs inside a larger job: made once, then read back from their folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from torchreid_adv.commands.attack_gallery import attack_targets, configured_job, identity_of
from torchreid_adv.config import AdvConfig
from torchreid_adv.data.datasets import ReIDData
from torchreid_adv.errors import DataError
from torchreid_adv.evaluation.protocol import Protocol
from torchreid_adv.jobs.lock import working_in
from torchreid_adv.jobs.manifest import read_manifest
from torchreid_adv.models import Ensemble, PixelModel


def kept_run(
    cfg: AdvConfig,
    model: PixelModel | Ensemble,
    facts: dict[str, Any],
    targets: Sequence[ReIDData],
    folder: Path,
    title: str,
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

    Raises:
        ConfigError: the folder holds another run.
    """
    if cfg.adv.job.threads:
        torch.set_num_threads(cfg.adv.job.threads)
    job = configured_job(cfg)
    for data in targets:
        job.folder(folder, data.name, identity_of(job, model, facts)).check_free()
    with working_in(folder):
        known = kept_results(folder)
        if not all(_scored_by(job.of(data).protocol, known.get(data.name, {})) for data in targets):
            print(f"\n##### {title} #####")
            attack_targets(cfg, model, facts, targets, folder)
        return kept_results(folder)


def _scored_by(protocol: Protocol, results: dict[str, Any]) -> bool:
    """Tell whether results of a data set are by these rules; a map is fitted to the features."""
    facts = results.get("protocol")
    if facts is None:
        return False
    distance = {key: value for key, value in facts["distance"].items() if key != "sha256"}
    asked = protocol.facts()
    asked["distance"].pop("sha256", None)
    return bool({**facts, "distance": distance} == asked)


def kept_results(folder: Path) -> dict[str, Any]:
    """Return the results of a run that ended, by data set; nothing for one that did not."""
    targets: dict[str, Any] = read_facts(folder / "results.json").get("targets", {})
    try:
        for name in targets:
            read_manifest(folder / name / "adversarial")
    except DataError:
        return {}
    return targets


def read_facts(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
