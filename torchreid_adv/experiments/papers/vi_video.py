"""The video network: tables 1 and 2, the parts of each row, and the scores of a trained network."""

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
from torchreid_adv.experiments.comparison import OurCell, compare, measured
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
    """The parts of a network in the paper's table 1.

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
    """Return the config of a network with the parts of a row."""
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.adv.video.attack, run_cfg.adv.video.defense = row.attack, row.defense
    run_cfg.adv.video.guidance = row.guidance
    return run_cfg


def check_video(cfg: AdvConfig, job: str) -> None:
    """Refuse a config of another kind of network or data.

    Raises:
        ConfigError: the config is not for tracklets of two modalities.
    """
    unfit = [name for name in cfg.data.targets if not DATASETS.facts(name).get("video")]
    if cfg.data.type != "video" or cfg.adv.engine != "vi_self_attack" or unfit:
        raise ConfigError(
            f"{job} is for tracklets of two modalities: set data.type video, adv.engine "
            "vi_self_attack, and data.targets to vcm_i2v and vcm_v2i, or virtual_vi_i2v and "
            "virtual_vi_v2i"
        )


def started(cfg: AdvConfig) -> None:
    """Train the backbone that a study's networks start from, if ``adv.study.stills`` names a set.

    It replaces ImageNet weights: one training, the same for all seeds. Half of its images are gray,
    because the video network's night images have no colors.

    Args:
        cfg: changed in place: ``adv.video.backbone``.

    Raises:
        ConfigError: a config that is not for tracklets of two modalities, or another network.
    """
    check_video(cfg, "a study of the video network")
    if not cfg.adv.study.stills or cfg.adv.video.backbone:
        return
    run_cfg, first = cfg.clone(), parse_models(cfg.adv.study.models, trained=False)[0].name
    if first not in BACKBONES:
        raise ConfigError(
            f"adv.study.models names '{first}', which has no backbone to train on "
            f"adv.study.stills; take {' or '.join(BACKBONES)}, or set adv.study.stills ''"
        )
    run_cfg.model.name = BACKBONES[first]
    run_cfg.data.type, run_cfg.data.sources = "image", [cfg.adv.study.stills]
    run_cfg.data.transforms = [*cfg.data.transforms, "grayscale"]
    run_cfg.adv.transforms.grayscale = AdvConfig({"p": 0.5})
    run_cfg.sampler.train_sampler, run_cfg.loss.name, run_cfg.adv.engine = (
        "RandomSampler",
        "softmax",
        "",
    )
    run_cfg.train.max_epoch, run_cfg.train.lr_scheduler = cfg.adv.study.still_epochs, "cosine"
    run_cfg.train.batch_size = cfg.train.batch_size * cfg.video.seq_len
    cfg.adv.video.backbone = str(trained_weights(run_cfg))


def video_scores(cfg: AdvConfig, spec: ModelSpec, folder: Path) -> Scores:
    """Search with a network's descriptors, unless ``folder`` already has the results.

    Args:
        cfg: for the network's parts and the data; all of ``data.targets`` are searched.
        spec: the network with its weights.
        folder: for ``results.json`` and torchreid's log.
    """
    run_cfg = search_settings(cfg, spec)
    key = search_key(run_cfg)
    scores: Scores = Cache(folder).json("search", key, lambda: _searched(run_cfg, folder))
    content = {"asked": key.facts, "found": scores}
    write_text(folder / "results.json", json.dumps(content, indent=1) + "\n")
    return scores


def search_settings(cfg: AdvConfig, spec: ModelSpec) -> AdvConfig:
    """Return the config of a search, which only tests."""
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.model.name, run_cfg.model.load_weights, run_cfg.model.pretrained = (
        spec.name,
        spec.weights,
        False,
    )
    run_cfg.data.save_dir, run_cfg.test.evaluate = "", True
    if spec.size:
        run_cfg.data.height, run_cfg.data.width = spec.size
    return run_cfg


def search_key(run_cfg: AdvConfig) -> Key:
    """Return the key of a search, including the weights and the images."""
    contents = Contents(Path(run_cfg.data.root).expanduser() / FOLDER)
    names = dict.fromkeys(run_cfg.data.targets)
    images = [set_facts(run_cfg, name, contents, combineall=True) for name in names]
    contents.keep()
    return Key.of(config=config_facts(run_cfg, PLACES), images=images, machinery=machinery())


def _searched(run_cfg: AdvConfig, folder: Path) -> Scores:
    run_cfg.data.save_dir = str(folder)
    engine = train_quietly(run_cfg)
    protocol = Protocol.configured(run_cfg)
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
    """Return labels of images or tracklets, with dummy features."""
    pids, camids = (torch.tensor([item[column] for item in items]) for column in (1, 2))
    return Features(torch.ones(len(items), 1), pids, camids, tuple(map(str, range(len(items)))))


@REPRODUCTIONS.register("vi_video.table1", title="parts of the visible-infrared video network")
def table1(cfg: AdvConfig) -> Reproduction:
    """Search with the networks of the given rows, in both directions."""
    return _searched_both_ways(cfg, "vi_video.table1")


@REPRODUCTIONS.register("vi_video.table2", title="the video network and other methods")
def table2(cfg: AdvConfig) -> Reproduction:
    """Search with and without FRM-STIG; the other methods are only in the paper."""
    return _searched_both_ways(cfg, "vi_video.table2")


def _searched_both_ways(cfg: AdvConfig, name: str) -> Reproduction:
    """Score the rows with given weights.

    Raises:
        ConfigError: data or engine of another kind, or no weights for any row.
    """
    printed = paper_table(name)
    check_video(cfg, name)
    others = [label for label in printed.models if label not in ROWS]
    row_models = {label: words for label, words in printed.models.items() if label in ROWS}
    models = chosen_models(cfg, replace(printed, models=row_models))
    rows = {cell["tested"]: cell["row"] for cell in printed.cells}
    findings = []
    for spec in parse_models(cfg.adv.transfer.models):
        folder = Path(cfg.data.save_dir) / "searches" / spec.label
        print(f"=> Searching with {spec.label}: {spec.weights}")
        scores = video_scores(with_row(cfg, ROWS[spec.label]), spec, folder)
        for target, measures in scores.items():
            where = {"target": target, "tested": spec.label, "row": rows[spec.label]}
            findings.append(OurCell(where, measured(measures)))
    notes = [*models.notes, rule_note(cfg, printed)]
    if others:
        notes.insert(0, f"Only in the paper, not in this package: {', '.join(others)}.")
    return Reproduction(compare(printed, findings, notes=notes))
