"""Processor seconds of a weight update, of each way to train, measured in one process by turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torchvision.transforms import Compose, Normalize

from torchreid_adv import config
from torchreid_adv.config import AdvConfig, torchreid_keys
from torchreid_adv.engines.train import build_engine
from torchreid_adv.integration.engine import adapt_engine
from torchreid_adv.integration.layout import torchreid_module

IDENTITIES = 100  # outputs of the classifier


def update_seconds(
    ways: Mapping[str, AdvConfig],
    *,
    repeats: int = 3,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Return the processor seconds of one weight update of each way.

    Args:
        ways: label -> config of the training. Sizes, batch and network are those of the config.
        repeats: rounds; each way is measured once a round and its best round counts.
        clock: seconds of all threads of this process, which others on the machine do not move.
    """
    engines = {label: _engine(cfg) for label, cfg in ways.items()}
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(repeats + 1):
        for label, cfg in ways.items():
            engine, batch = engines[label], _batch(cfg)
            engine.set_model_mode("train")
            started = clock()
            engine.forward_backward(batch)
            seconds = clock() - started
            if turn:  # the first one warms up
                best[label] = min(best[label], seconds / updates_of(cfg))
    return best


def updates_of(cfg: AdvConfig) -> int:
    """Return the weight updates on each batch."""
    replayed = cfg.adv.engine and cfg.adv.training.method == "free"
    return int(cfg.adv.training.replays) if replayed else 1


def _batch(cfg: AdvConfig) -> dict[str, Any]:
    count, size = cfg.train.batch_size, (cfg.data.height, cfg.data.width)
    images = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))
    normalize = Normalize(cfg.data.norm_mean, cfg.data.norm_std)
    pids = torch.arange(count) // cfg.sampler.num_instances % IDENTITIES
    return {"img": normalize(images), "pid": pids, "impath": [str(row) for row in range(count)]}


def _engine(cfg: AdvConfig) -> Any:
    """Return torchreid's engine on a network with random weights, adapted where a config says."""
    run_cfg = cfg.clone()
    run_cfg.use_gpu = False
    run_cfg.adv.training.evaluate, run_cfg.adv.training.guard = False, 0
    run_cfg.adv.training.ema, run_cfg.adv.training.report = 0.0, []
    data = SimpleNamespace(
        train_loader=[None],
        test_loader={},
        num_train_pids=IDENTITIES,
        data_type="image",
        height=cfg.data.height,
        width=cfg.data.width,
        transform_te=Compose([Normalize(cfg.data.norm_mean, cfg.data.norm_std)]),
    )
    torch.manual_seed(0)
    network = torchreid_module("models").build_model(
        name=cfg.model.name,
        num_classes=IDENTITIES,
        loss=cfg.loss.name,
        pretrained=False,
        use_gpu=False,
    )
    keywords = torchreid_keys.keywords(run_cfg, torchreid_keys.OPTIMIZER)
    optimizer = torchreid_module("optim").build_optimizer(network, **keywords)
    engine = build_engine(run_cfg, data, network, optimizer, None)
    if not run_cfg.adv.engine:
        return engine
    with config.using(run_cfg):
        return adapt_engine(engine, config.setup(run_cfg))
