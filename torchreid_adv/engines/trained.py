"""Models trained inside a larger job: each once, then stored below the data root."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from torchreid_adv import config
from torchreid_adv.config import AdvConfig, lookup
from torchreid_adv.core.cache import Cache, Key
from torchreid_adv.core.contents import Contents
from torchreid_adv.data.contents import training_facts
from torchreid_adv.engines.deciding_keys import TRAINING, config_facts
from torchreid_adv.engines.progress import unfinished_file
from torchreid_adv.engines.selection import BEST
from torchreid_adv.engines.train import train, weights_path
from torchreid_adv.errors import ConfigError
from torchreid_adv.runs.folder import machinery
from torchreid_adv.runs.inputs import DATA_OPTIONS, given_weights
from torchreid_adv.runs.torchreid_checks import check_names

WITHIN = ("adversarial_training", "meta_defense", "vi_self_attack")  # engines that train a network
KEPT = "kept_progress"  # the engine whose training continues after a kill
FOLDER = "models"  # below the data root


def trained_weights(cfg: AdvConfig, *, engine: str = "progress") -> Path:
    """Return the weights of the model that a config describes; train it if necessary.

    They are in ``<data.root>/models/<model>-<hash of what decides them>``, complete or missing:
    those of the last epoch, or the best ones by ``adv.selection.data``. ``key.json`` next to them
    lists what decided them: the config, the training images, versions and threads.

    Args:
        cfg: the whole config.
        engine: the training mixin, one with a progress bar.

    Raises:
        ConfigError: a file that the config names cannot be read, or the stored model is incomplete.
        DataError: a training set is missing or cannot be read.
    """
    settings = training_settings(cfg, engine)
    check_names(settings)  # before any data is read
    key, cache = training_key(settings), Cache(Path(cfg.data.root).expanduser() / FOLDER)
    file_name = BEST if cfg.adv.selection.data else f"model.pth.tar-{cfg.train.max_epoch}"
    folder = cache.path(cfg.model.name, key)
    weights = folder / "model" / file_name
    if folder.exists():
        print(f"=> Using the model trained before: {weights}")
    else:
        print(f"=> Training {cfg.model.name} on {', '.join(cfg.data.sources)}, once: {weights}")
    cache.folder(cfg.model.name, key, lambda place: _train(settings, place))
    if not weights.is_file():
        raise ConfigError(
            f"'{folder}' lacks '{file_name}'; remove the folder to train the model again"
        )
    return weights


def training_settings(cfg: AdvConfig, engine: str = "progress") -> AdvConfig:
    """Return the config of a training inside a job: only training, without an attack."""
    settings: AdvConfig = cfg.clone()
    settings.data.save_dir = ""
    settings.data.targets = list(cfg.data.sources)
    settings.test.evaluate = False
    config.set_engine(settings, engine, cfg.adv.engine if cfg.adv.engine in WITHIN else "")
    settings.adv.training.evaluate, settings.adv.training.report = False, []
    return settings


def training_key(settings: AdvConfig) -> Key:
    """Return everything that decides the result of a training.

    Args:
        settings: see :func:`training_settings`.

    Raises:
        ConfigError: a file that the config names cannot be read.
        DataError: a data set is missing or cannot be read.
    """
    contents = Contents(Path(settings.data.root).expanduser() / FOLDER)
    images = [
        set_facts(settings, name, contents, combineall=bool(settings.data.combineall))
        for name in settings.data.sources
    ]
    further = {settings.adv.selection.data}
    if "meta_defense" in config.engine_names(settings) and settings.adv.meta.learning != "source":
        further |= {settings.adv.meta.virtual}
    images += [set_facts(settings, name, contents) for name in sorted(filter(None, further))]
    contents.keep()
    return Key.of(config=config_facts(settings, TRAINING), images=images, machinery=machinery())


def set_facts(
    cfg: AdvConfig, name: str, contents: Contents, *, combineall: bool = False
) -> dict[str, Any]:
    """Return what identifies the training images of a config's data set."""
    options = {keyword: lookup(cfg, key) for keyword, key in DATA_OPTIONS.items()}
    return training_facts(name, cfg.data.root, contents, combineall=combineall, **options)


def _train(settings: AdvConfig, folder: Path) -> None:
    run_cfg = settings.clone()
    run_cfg.data.save_dir = str(folder)
    unfinished = unfinished_file(folder)
    if run_cfg.adv.engine == KEPT and unfinished.is_file():
        print(f"=> Continuing after the last complete epoch: {unfinished}")
        run_cfg.model.resume = str(unfinished)
    train_quietly(run_cfg)
    assert weights_path(run_cfg).is_file()
    unfinished.unlink(missing_ok=True)


def train_quietly(cfg: AdvConfig) -> Any:
    """Train or test as configured, without torchreid's printed lines; return its engine.

    The log file in ``data.save_dir`` has these lines.
    """
    Path(cfg.data.save_dir).mkdir(parents=True, exist_ok=True)
    with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet), config.using(cfg):
        return train(cfg)


def weights_of(cfg: AdvConfig) -> str:
    """Return the weights of a config's model; train the quick start's model if necessary.

    Raises:
        ConfigError: no weights are given.
    """
    if cfg.model.load_weights or not cfg.adv.virtual.train_model:
        return given_weights(cfg)
    return str(trained_weights(cfg))
