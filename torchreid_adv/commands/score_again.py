"""The composed images of a standard run, scored once more and held against its figures."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from torchreid_adv.commands.attack_gallery import configured_dataset, configured_test, load_spec
from torchreid_adv.commands.standard import configured_models
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.contents import Contents
from torchreid_adv.data.datasets import Record
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.jobs.manifest import read_manifest
from torchreid_adv.models.base import ImageModel
from torchreid_adv.models.kernels import repeatable
from torchreid_adv.standard.identity import listing, metric_facts, model_digest
from torchreid_adv.standard.scoring import Judge
from torchreid_adv.standard.tables import Scores, Table
from torchreid_adv.standard.tracks import COMPOSED
from torchreid_adv.standard.versions import SIDES

TOLERANCE = 1e-3  # of mAP and Rank-1; another machine rounds features in another way


def figure_faults(folder: Path, result: dict[str, Any], judge: Judge) -> Iterator[str]:
    """Yield which figures the model does not give for the stored images.

    Args:
        folder: of the run.
        result: its ``standard.json``.
        judge: of its model and data set.
    """
    with repeatable(), tempfile.TemporaryDirectory() as kept:
        judge = dataclasses.replace(judge, folder=Path(kept))
        clean = judge.score("query")
        for track, bounds in result["tracks"].items():
            for eps, facts in bounds.items():
                place = folder / f"{track}-eps{eps}" / COMPOSED
                yield from _of_place(place, track, facts, judge, clean)


def _of_place(
    place: Path, track: str, facts: dict[str, Any], judge: Judge, clean: Scores
) -> Iterator[str]:
    side = SIDES[track]
    known = {record.image_id for record in judge.data.side(side)}
    stored = [
        Record(e.image_id, place / e.output, e.pid, e.camid) for e in read_manifest(place).stored
    ]
    if not {record.image_id for record in stored} <= known:
        yield f"'{place}' holds images that {judge.data.name} lacks"
        return
    scores = judge.score(side, stored) if stored else clean
    pids = judge.query.pids.numpy()
    table = Table(pids, clean, {"all": scores}) if track == "Q" else Table(pids, scores)
    yield from (f"'{place}': {fault}" for fault in _compared(track, table, clean, facts))


def _compared(track: str, table: Table, clean: Scores, facts: dict[str, Any]) -> Iterator[str]:
    """Yield what differs between the figures of a table and those of a result."""
    own = Table(table.pids, clean)
    pairs = {
        "clean mAP": (own.mean_precision(), facts["clean"]["mAP"]),
        "clean Rank-1": (own.survival()["1"], facts["clean"]["cmc"]["1"]),
        "robust mAP": (table.mean_precision(), facts["robust"]["mAP"]),
    }
    first = table.survival()["1"], facts["robust"]["cmc"]["1"]
    if track == "G":
        pairs["robust Rank-1"] = first
    elif first[1] > first[0] + TOLERANCE:  # other attacks than the stored one may lose it, too
        yield f"robust Rank-1 is {first[0]:.4f} at most, the result says {first[1]:.4f}"
    for name, (found, said) in pairs.items():
        if not np.isclose(found, said, rtol=0, atol=TOLERANCE):
            yield f"{name} is {found:.4f}, the result says {said:.4f}"


def configured_judge(result: dict[str, Any], cfg: AdvConfig) -> Judge:
    """Return what scores as a run did, by the config of the run.

    Raises:
        ConfigError: the config describes another model, data set or metric.
    """
    name, target = result["model"]["name"], result["data"]["name"]
    specs = [spec for spec in configured_models(cfg) if spec.label == name]
    if not specs or target not in cfg.data.targets:
        raise ConfigError(
            f"the run is of the model '{name}' on '{target}', which the config does not name; give "
            "the flags of the run (adv.standard.models, -t)"
        )
    data, test = configured_dataset(cfg, target), configured_test(cfg)
    plain = load_spec(cfg, specs[0])
    model: ImageModel = plain if test is None else test.of(plain)
    protocol = Protocol.configured(cfg, data)
    if "protocol" not in result:  # of an older version, which had one set of rules
        protocol = Protocol(distance=protocol.distance)
    same = {
        "data set": listing(data, Contents()) == result["data"]["listing"],
        "weights": model_digest(model) == result["model"]["sha256"],
        "metric": metric_facts(protocol.distance) == result["metric"],
        "protocol": result.get("protocol", protocol.facts()) == protocol.facts(),
        "defense": (test is not None) == (result["model"].get("defense") is not None),
    }
    for what, fits in same.items():
        if not fits:
            raise ConfigError(
                f"the config differs from the run of '{name}' on '{target}' in its {what}; give "
                "the flags of the run"
            )
    draws = int(result["standard"]["definition"].get("draws", 1))
    return Judge(model, data, protocol, draws, Path(), workers=lookup(cfg, "data.workers", 0))
