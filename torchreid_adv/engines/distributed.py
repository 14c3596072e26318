"""Training by several processes: ``torchrun --nproc-per-node N tools/train.py ...``."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.processes import Team
from torchreid_adv.engines.evaluation import Base
from torchreid_adv.engines.loaders import planned_loader
from torchreid_adv.integration.checkpoints import unwrap


class _Silent:
    """Replaces the tensorboard writer in processes that do not lead."""

    def add_scalar(self, *args: Any, **keywords: Any) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class DistributedMixin(Base):
    """Each process trains on its part of each batch; gradients are averaged; the leader tests.

    Hard pairs of a triplet loss are mined within each process's part, and BatchNorm normalizes by
    the statistics of the part; after each epoch all processes copy the leader's running statistics.
    """

    team: Team
    model: Any

    def train(self, *args: Any, **keywords: Any) -> None:
        """Train an epoch according to the plan."""
        self.train_loader.sampler.epoch = self.epoch
        super().train(*args, **keywords)
        if self.team.connected:
            for buffer in unwrap(self.model).buffers():
                distributed.broadcast(buffer, 0)

    def two_stepped_transfer_learning(
        self, epoch: int, fixbase_epoch: int, open_layers: Any, model: Any = None
    ) -> None:
        """Open layers by name in the network without DDP."""
        model = unwrap(self.model if model is None else model)
        super().two_stepped_transfer_learning(epoch, fixbase_epoch, open_layers, model=model)

    def test(self, *args: Any, **keywords: Any) -> float:
        """Evaluate in the leader; the others wait, and return 0."""
        rank1, wrapped = 0.0, self.model
        if self.leads:
            self.model = unwrap(wrapped)  # no communication meanwhile
            try:
                rank1 = super().test(*args, **keywords)
            finally:
                self.model = wrapped
        self.team.wait()
        return rank1

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:
        """Save in the leader."""
        if self.leads:
            super().save_model(epoch, rank1, save_dir, is_best=is_best)


def distribute(engine: Any, cfg: AdvConfig, team: Team) -> None:
    """Make an engine with a bare network one of several that train together.

    Args:
        engine: the torchreid engine.
        cfg: config of the training; ``train.batch_size`` counts the images of all processes.
        team: this process and the others; a single process follows the same plan.

    Raises:
        ConfigError: batches cannot be divided.
    """
    engine_class: Any = type(engine)
    engine.__class__ = type(
        engine_class.__name__,
        (DistributedMixin, engine_class),
        {"__module__": engine_class.__module__},
    )
    engine.team, engine.leads = team, team.leads
    data = engine.datamanager
    seed = int(lookup(cfg, "train.seed", 0))
    data.train_loader = planned_loader(data.train_loader, team=team, seed=seed)
    engine.train_loader = data.train_loader
    if not team.connected:
        return
    if not team.leads:
        engine.writer = _Silent()
    engine.model = _wrapped(engine.model, cfg)


def _wrapped(model: torch.nn.Module, cfg: AdvConfig) -> DistributedDataParallel:
    """Wrap the network in DDP: NCCL if each process has its own GPU, else gloo."""
    gpu = next(model.parameters()).is_cuda
    has_own_gpu = gpu and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) <= torch.cuda.device_count()
    mining_only = lookup(cfg, "loss.name") == "triplet" and not lookup(cfg, "loss.triplet.weight_x")
    return DistributedDataParallel(
        model,
        device_ids=[torch.cuda.current_device()] if gpu else None,
        process_group=distributed.new_group(backend="nccl") if has_own_gpu else None,
        broadcast_buffers=False,  # a step passes clean and adversarial images
        find_unused_parameters=bool(lookup(cfg, "train.fixbase_epoch", 0)) or mining_only,
    )
