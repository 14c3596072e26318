"""Offline adversarial training: the clean images and the training set that was attacked once."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.processes import ALONE
from torchreid_adv.data.datasets import from_torchreid
from torchreid_adv.engines.loaders import PlannedImages, planned_loader, sampler_like
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.weight_files import weights_fault
from torchreid_adv.registry import ATTACKS
from torchreid_adv.runs.training_set import attack_training


def merged_loader(engine: Any, cfg: AdvConfig) -> DataLoader[Any]:
    """Return an engine's training loader with the stored adversarial images added to it.

    Images that are not stored yet are attacked now, as in ``attack-train``; an image and its
    adversarial form have the same identity and camera (Bai et al., section 4, steps 2 and 3).

    Raises:
        ConfigError: there is no clean network, or the folder holds another run.
        DataError: an image cannot be used.
    """
    stock, team = engine.train_loader, getattr(engine, "team", ALONE)
    dataset, sources = stock.dataset, engine.datamanager.sources
    planned = isinstance(dataset, PlannedImages)
    dataset = dataset.images if planned else dataset
    data = from_torchreid("+".join(sources), lookup(cfg, "data.root", "."), dataset)
    stored_images = team.first(lambda: attack_training(cfg, data))
    assert stored_images is not None  # None only for a shard
    stored = {record.image_id: str(record.path) for record in stored_images.data(data).train}
    rows = {Path(row[0]): row for row in dataset.train}
    added = [
        (stored[record.image_id], *rows[record.path][1:])
        for record in data.train
        if record.image_id in stored
    ]
    both = copy.copy(dataset)
    both.train = both.data = [*dataset.train, *added]
    print(f"=> Training on {len(dataset.train)} images and {len(added)} adversarial ones")
    sampler = stock.sampler.sampler if planned else stock.sampler
    size = (stock.batch_size or 1) * (team.world if planned else 1)
    loader: DataLoader[Any] = DataLoader(
        both,
        sampler=sampler_like(sampler, both.train, size, cfg),
        batch_size=size,
        num_workers=stock.num_workers,
        pin_memory=stock.pin_memory,
        drop_last=stock.drop_last,
    )
    return planned_loader(loader, team=team, seed=stock.sampler.seed) if planned else loader


def check_offline(engine: Any, cfg: AdvConfig) -> None:
    """Refuse what offline training cannot do.

    Raises:
        ConfigError: tracklets, keys of mode 'online', or no checkpoint of the clean network.
    """
    weights = cfg.adv.training.weights
    training = cfg.adv.training
    if training.method != "pgd" or training.warmup or training.guard:
        raise ConfigError(
            "adv.training.method, warmup and guard are of mode 'online'; leave them out"
        )
    if engine.datamanager.data_type != "image":
        raise ConfigError("adv.training.mode 'offline' is for data.type image, got video")
    if not weights and not lookup(cfg, "test.evaluate", False):
        raise ConfigError(
            "adv.training.mode 'offline' attacks a clean network that was trained before: "
            "train one with adv.engine '' and name its checkpoint in adv.training.weights"
        )
    fault = weights_fault(weights) if weights else ""
    if fault:
        raise ConfigError(f"adv.training.weights names '{weights}', {fault}")


def without_training_file(cfg: AdvConfig) -> AdvConfig:
    """Return a config whose ``adv.attack.weights`` is not the file of the offline attack."""
    training = cfg.adv.training
    takes = {
        name: "weights" in ATTACKS.options(name) for name in (cfg.adv.attack.name, training.attack)
    }
    offline = training.mode == "offline" and takes[training.attack] and not training.universal
    if takes[cfg.adv.attack.name] or not offline:
        return cfg
    run_cfg: AdvConfig = cfg.clone()
    run_cfg.adv.attack.weights = ""
    return run_cfg
