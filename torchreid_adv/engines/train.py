"""torchreid's training script as functions of a config: data, network, engine.

Config keys, log lines and output folders are those of torchreid's ``scripts/main.py``.
"""

from __future__ import annotations

import functools
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from torchreid_adv import config
from torchreid_adv.config import torchreid_keys
from torchreid_adv.core.lock import working_in
from torchreid_adv.core.loggers import TENSORBOARD, logging_to
from torchreid_adv.core.processes import ALONE, Team
from torchreid_adv.data.datasets import reading
from torchreid_adv.engines.before_training import check_batches
from torchreid_adv.engines.distributed import distribute
from torchreid_adv.engines.saving import kept_random_state
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration import engine, hooks
from torchreid_adv.integration.console import RecordingStream, kept_console
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.resuming import check_unfinished
from torchreid_adv.models.cuda import kept_kernels
from torchreid_adv.runs.torchreid_checks import check_engine, check_names, check_trainable


def train(cfg: config.AdvConfig, team: Team | None = None) -> Any:
    """Train and test as configured; hooks, console, generators and kernels are restored.

    Args:
        cfg: the whole config, see :func:`torchreid_adv.config.torchreid_keys.default_config`.
        team: processes that train together by one seeded plan; None = as in torchreid.

    Returns:
        torchreid's engine, with the trained ``model``; see :func:`weights_path` for the file.
    """
    check_engine(cfg)
    before = engine.adapted_engines()
    with config.using(cfg), kept_console(), hooks.installed(), kept_random_state(), kept_kernels():
        config.setup(cfg)
        check_names(cfg)
        check_trainable(cfg)
        folder, loggers = cfg.data.save_dir, cfg.adv.report.loggers
        further = [name for name in loggers if name != TENSORBOARD]  # torchreid has that one
        told = further if team is None or team.leads else []
        with working_in(folder, team or ALONE, wait=False), logging_to(*told, folder=folder):
            built = _train(cfg, team)
        engine.require_adapted(cfg, before)
    return built


def weights_path(cfg: config.AdvConfig) -> Path:
    """Return where torchreid saves the checkpoint of the last epoch."""
    return Path(cfg.data.save_dir) / "model" / f"model.pth.tar-{cfg.train.max_epoch}"


def _train(cfg: config.AdvConfig, team: Team | None) -> Any:
    utils = torchreid_module("utils")
    utils.set_random_seed(cfg.train.seed)
    log = time.strftime(("test" if cfg.test.evaluate else "train") + ".log-%Y-%m-%d-%H-%M-%S")
    console = RecordingStream(sys.stdout)
    sys.stdout = console
    with console.held():
        print(f"Show configuration\n{cfg}\n")
        print("Collecting env info ...")
        print(f"** System info **\n{_system_info()}\n")
        if cfg.use_gpu:
            torch.backends.cudnn.benchmark = True
        first = (team or ALONE).first  # renders data and fetches files for the others
        data = first(lambda: build_data(cfg))
        if not cfg.test.evaluate:
            check_batches(data.train_loader, cfg.data.sources)
        model = first(lambda: build_model(cfg, data, parallel=team is None))
        optim = torchreid_module("optim")
        optimizer = optim.build_optimizer(
            model, **torchreid_keys.keywords(cfg, torchreid_keys.OPTIMIZER)
        )
        scheduler = optim.build_lr_scheduler(
            optimizer, **torchreid_keys.keywords(cfg, torchreid_keys.SCHEDULER)
        )
        if cfg.model.resume and utils.check_isfile(cfg.model.resume):
            cfg.train.start_epoch = utils.resume_from_checkpoint(
                cfg.model.resume, model, optimizer=optimizer, scheduler=scheduler
            )
        if not cfg.test.evaluate:
            check_unfinished(cfg.train.start_epoch, cfg.train.max_epoch)
        print(f"Building {cfg.loss.name}-engine for {cfg.data.type}-reid")
        built = build_engine(cfg, data, model, optimizer, scheduler)
        if team is not None:
            distribute(built, cfg, team)
    if team is None or team.leads:  # all checks have passed; files are written from here on
        sys.stdout = console.go_on(lambda: utils.Logger(str(Path(cfg.data.save_dir) / log)))
    built.run(**torchreid_keys.keywords(cfg, torchreid_keys.RUN))
    return built


@functools.cache
def _system_info() -> str:
    """Return the system information, computed once: it takes seconds."""
    return str(torchreid_module("utils").collect_env_info())


def build_data(cfg: config.AdvConfig) -> Any:
    """Return torchreid's data manager for ``data.*``, ``sampler.*`` and ``video.*``.

    Raises:
        DataError: a data set is missing or cannot be read; nothing is downloaded.
    """
    data = torchreid_module("data")
    names = ", ".join(dict.fromkeys([*cfg.data.sources, *cfg.data.targets]))
    with reading(f"the data sets {names} below '{cfg.data.root}'"):
        if cfg.data.type == "image":
            return data.ImageDataManager(**torchreid_keys.keywords(cfg, torchreid_keys.IMAGE_DATA))
        return data.VideoDataManager(**torchreid_keys.keywords(cfg, torchreid_keys.VIDEO_DATA))


def build_model(cfg: config.AdvConfig, data: Any, *, parallel: bool = True) -> nn.Module:
    """Return the network with its weights loaded, on the GPUs if they are used.

    Args:
        cfg: the whole config.
        data: torchreid's data manager, for the number of identities.
        parallel: use all GPUs, in DataParallel; else the current one.
    """
    utils = torchreid_module("utils")
    print(f"Building model: {cfg.model.name}")
    model: nn.Module = torchreid_module("models").build_model(
        name=cfg.model.name,
        num_classes=data.num_train_pids,
        loss=cfg.loss.name,
        pretrained=cfg.model.pretrained,
        use_gpu=cfg.use_gpu,
    )
    params, flops = _complexity(cfg, model)
    print(f"Model complexity: params={params:,} flops={flops:,}")
    if cfg.model.load_weights and utils.check_isfile(cfg.model.load_weights):
        utils.load_pretrained_weights(model, cfg.model.load_weights)
    if cfg.use_gpu:
        model = nn.DataParallel(model).cuda() if parallel else model.cuda()
    return model


def _complexity(cfg: config.AdvConfig, model: nn.Module) -> tuple[int, int]:
    """Count a network's parameters and operations for an image of the input size.

    Raises:
        ConfigError: the network does not accept that size.
    """
    size = (cfg.data.height, cfg.data.width)
    try:
        counts: tuple[int, int] = torchreid_module("utils").compute_model_complexity(
            model, (1, 3, *size)
        )
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"model.name '{cfg.model.name}' does not take images of {size[0]}x{size[1]} pixels: "
            f"{error}; set data.height and data.width to its input size"
        ) from error
    return counts


def build_engine(
    cfg: config.AdvConfig, data: Any, model: nn.Module, optimizer: Any, scheduler: Any
) -> Any:
    """Return torchreid's engine for ``data.type`` and ``loss.name``."""
    kind = f"{cfg.data.type}-{cfg.loss.name}".title().replace("-", "")
    table = torchreid_keys.SOFTMAX if cfg.loss.name == "softmax" else torchreid_keys.TRIPLET
    options = torchreid_keys.keywords(cfg, table)
    if cfg.data.type == "video":
        options["pooling_method"] = cfg.video.pooling_method
    return getattr(torchreid_module("engine"), f"{kind}Engine")(
        data, model, optimizer=optimizer, scheduler=scheduler, **options
    )
