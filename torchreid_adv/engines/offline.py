"""Offline adversarial training: the training set and its adversarial version, merged."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.data.datasets import from_torchreid
from torchreid_adv.engines.planned import PlannedImages, planned_loader
from torchreid_adv.engines.rounds import sampler_like
from torchreid_adv.jobs.team import ALONE
from torchreid_adv.registry import COMMANDS


def merged_loader(engine: Any, cfg: AdvConfig) -> DataLoader[Any]:
    """Return an engine's training loader with the stored adversarial images added to it.

    What is not stored yet is attacked now, by the job of ``attack-train``; an image and its form
    have the same identity and camera (Bai et al., section 4, steps 2 and 3).

    Raises:
        ConfigError: no clean network, or a folder that holds another run.
        DataError: an image that cannot be used.
    """
    stock, team = engine.train_loader, getattr(engine, "team", ALONE)
    dataset, sources = stock.dataset, engine.datamanager.sources
    planned = isinstance(dataset, PlannedImages)
    dataset = dataset.images if planned else dataset
    data = from_torchreid("+".join(sources), lookup(cfg, "data.root", "."), dataset)
    variant = team.first(lambda: COMMANDS.facts("attack-train")["job"](cfg, data))
    stored = {record.image_id: str(record.path) for record in variant.data(data).train}
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
