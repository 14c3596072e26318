"""The video network: tables 1 and 2, the parts of each row, and what a trained network scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchreid_adv.config import AdvConfig
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.core.files import write_text
from torchreid_adv.engines.deciding_keys import PLACES, config_facts
from torchreid_adv.engines.trained import FOLDER, set_facts, train_quietly, trained_weights
from torchreid_adv.errors import ConfigError
from torchreid_adv.evaluation import Protocol
from torchreid_adv.experiments.comparison import Finding, compare, measured
from torchreid_adv.experiments.reproduce import Reproduction, chosen_models, rule_note
from torchreid_adv.models import Features
from torchreid_adv.models.self_attack.parts import BASELINE, WHOLE, parts_of
from torchreid_adv.models.specs import ModelSpec, parse_models
from torchreid_adv.registry import DATASETS, REPRODUCTIONS
from torchreid_adv.report.paper_table import paper_table
from torchreid_adv.runs.folder import machinery

Scores = dict[str, dict[str, Any]]  # data set -> measures, and the mAP of a random order
BACKBONES = {"self_attack_video": "resnet50", "self_attack_video_resnet18": "resnet18"}


@dataclass(frozen=True)
class Row:
    """Which parts a network of the paper's table 1 has.

    Args:
        title: as printed.
        attack: ASAM.
        defense: CMCA of ADM.
        guidance: of FRM-STIG, as ``adv.video.guidance``.
    """

    title: str
    attack: bool
    defense: bool
    guidance: str


def _row(words: str) -> Row:
    return Row(words.replace(BASELINE, "Baseline", 1), **parts_of(words))


_WORDS = {  # by the names of configs/video, in the order of the paper
    "baseline": "B",
    "asam": "B+ASAM",
    "adm": "B+ADM",
    "stig": "B+FRM-STIG",
    "asam_adm": "B+ASAM+ADM",
    "asam_adm_te": "B+ASAM+ADM+FR-E-TI",
    "asam_adm_stig_no_spatial": "B+ASAM+ADM+FRM-STIG*",
    "asam_adm_stig": WHOLE,
}
ROWS = {name: _row(words) for name, words in _WORDS.items()}


def with_row(cfg: AdvConfig, row: Row) -> AdvConfig:
    """Return the config of a network that has the parts of a row."""
    own: AdvConfig = cfg.clone()
    own.adv.video.attack, own.adv.video.defense = row.attack, row.defense
    own.adv.video.guidance = row.guidance
    return own


def check_video(cfg: AdvConfig, job: str) -> None:
    """Refuse a config of another kind of network or data.

    Raises:
        ConfigError: not of tracklets of two modalities.
    """
    unfit = [name for name in cfg.data.targets if not DATASETS.facts(name).get("video")]
    if cfg.data.type != "video" or cfg.adv.engine != "vi_self_attack" or unfit:
        raise ConfigError(
            f"{job} is of tracklets of two modalities: set data.type video, adv.engine "
            "vi_self_attack, and data.targets to vcm_i2v and vcm_v2i, or virtual_vi_i2v and "
            "virtual_vi_v2i"
        )


def started(cfg: AdvConfig) -> None:
    """Train the backbone that a study's networks start from, if ``adv.study.stills`` names a set.

    It stands in for ImageNet's weights: one training, the same for all seeds. Half of its images
    are gray, because what the network is to be trained for has no colors at night.

    Args:
        cfg: changed in place: ``adv.video.backbone``.

    Raises:
        ConfigError: a config that is not of tracklets of two modalities, or another network.
    """
    check_video(cfg, "a study of the video network")
    if not cfg.adv.study.stills or cfg.adv.video.backbone:
        return
    own, first = cfg.clone(), parse_models(cfg.adv.study.models, trained=False)[0].name
    if first not in BACKBONES:
        raise ConfigError(
            f"adv.study.models names '{first}', which has no backbone to train on "
            f"adv.study.stills; take {' or '.join(BACKBONES)}, or set adv.study.stills ''"
        )
    own.model.name = BACKBONES[first]
    own.data.type, own.data.sources = "image", [cfg.adv.study.stills]
    own.data.transforms = [*cfg.data.transforms, "grayscale"]
    own.adv.transforms.grayscale = AdvConfig({"p": 0.5})
    own.sampler.train_sampler, own.loss.name, own.adv.engine = "RandomSampler", "softmax", ""
    own.train.max_epoch, own.train.lr_scheduler = cfg.adv.study.still_epochs, "cosine"
    own.train.batch_size = cfg.train.batch_size * cfg.video.seq_len
    cfg.adv.video.backbone = str(trained_weights(own))


def video_scores(cfg: AdvConfig, spec: ModelSpec, folder: Path) -> Scores:
    """Search by a network's descriptors, unless ``folder`` holds what came of it before.

    Args:
        cfg: of the network's parts and the data; all of ``data.targets`` are searched.
        spec: the network with its weights.
        folder: for ``results.json`` and torchreid's log.
    """
    own = search_settings(cfg, spec)
    key = search_key(own)
    found: Scores = Cache(folder).json("search", key, lambda: _searched(own, folder))
    content = {"asked": key.facts, "found": found}
    write_text(folder / "results.json", json.dumps(content, indent=1) + "\n")
    return found


def search_settings(cfg: AdvConfig, spec: ModelSpec) -> AdvConfig:
    """Return the config that a network searches by: tested only."""
    own: AdvConfig = cfg.clone()
    own.model.name, own.model.load_weights, own.model.pretrained = spec.name, spec.weights, False
    own.data.save_dir, own.test.evaluate = "", True
    if spec.size:
        own.data.height, own.data.width = spec.size
    return own


def search_key(own: AdvConfig) -> Key:
    """Return all that decides how a network searches, its weights and the images included."""
    contents = Contents(Path(own.data.root).expanduser() / FOLDER)
    names = dict.fromkeys(own.data.targets)
    images = [set_facts(own, name, contents, combineall=True) for name in names]
    contents.keep()
    return Key.of(config=config_facts(own, PLACES), images=images, machinery=machinery())


def _searched(own: AdvConfig, folder: Path) -> Scores:
    own.data.save_dir = str(folder)
    engine = train_quietly(own)
    protocol = Protocol.configured(own)
    floors = {name: _chance(engine.test_loader[name], protocol) for name in engine.results}
    return {
        name: {**result.to_dict(), "chance": floors[name]}
        for name, result in engine.results.items()
    }


def _chance(loaders: dict[str, Any], protocol: Protocol) -> float:
    """Return the mAP of a random order."""
    sides = [_unseen(loaders[side].dataset.data) for side in ("query", "gallery")]
    expected = protocol.of(loaders["gallery"].dataset).chances(*sides)
    return float(np.nanmean(expected))


def _unseen(items: Sequence[Any]) -> Features:
    """Return labels of images or tracklets, with features that say nothing."""
    pids, camids = (torch.tensor([item[column] for item in items]) for column in (1, 2))
    return Features(torch.ones(len(items), 1), pids, camids, tuple(map(str, range(len(items)))))


@REPRODUCTIONS.register("vi_video.table1", title="parts of the visible-infrared video network")
def table1(cfg: AdvConfig) -> Reproduction:
    """Search by the networks of the rows that are given, in both directions."""
    return _searched_both_ways(cfg, "vi_video.table1")


@REPRODUCTIONS.register("vi_video.table2", title="the video network beside other methods")
def table2(cfg: AdvConfig) -> Reproduction:
    """Search by the network with and without FRM-STIG; the other methods are the paper's alone."""
    return _searched_both_ways(cfg, "vi_video.table2")


def _searched_both_ways(cfg: AdvConfig, name: str) -> Reproduction:
    """Score the rows that weights are given for.

    Raises:
        ConfigError: data or engine of another kind, or no weights of any row.
    """
    printed = paper_table(name)
    check_video(cfg, name)
    others = [label for label in printed.models if label not in ROWS]
    own = {label: words for label, words in printed.models.items() if label in ROWS}
    models = chosen_models(cfg, replace(printed, models=own))
    rows = {cell["tested"]: cell["row"] for cell in printed.cells}
    findings = []
    for spec in parse_models(cfg.adv.transfer.models):
        folder = Path(cfg.data.save_dir) / "searches" / spec.label
        print(f"=> Searching by {spec.label}: {spec.weights}")
        scores = video_scores(with_row(cfg, ROWS[spec.label]), spec, folder)
        for target, measures in scores.items():
            where = {"target": target, "tested": spec.label, "row": rows[spec.label]}
            findings.append(Finding(where, measured(measures)))
    notes = [*models.notes, rule_note(cfg, printed)]
    if others:
        notes.insert(0, f"The paper's alone, as no part of this package: {', '.join(others)}.")
    return Reproduction(compare(printed, findings, notes=notes))
