"""The allowed values of torchreid's keys, and ``ready``: all checks before data is read.

The checks import neither torchreid nor PyTorch.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from yacs.config import CfgNode

from torchreid_adv import config
from torchreid_adv.config import engine_names, lookup
from torchreid_adv.config.keys import Check, between, one_of
from torchreid_adv.config.torchreid_keys import DEFAULTS, gpu_is_there
from torchreid_adv.data.cross_modality.frames import METHODS, WHOLE
from torchreid_adv.data.cross_modality.frames import STOCK as STOCK_METHODS
from torchreid_adv.data.own import resolve
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.datasets import TABLES
from torchreid_adv.integration.models import TABLE as NETWORKS
from torchreid_adv.integration.models import check_size
from torchreid_adv.integration.stock_names import TRANSFORMS as STOCK
from torchreid_adv.integration.stock_names import stock_names
from torchreid_adv.integration.weight_files import weights_fault
from torchreid_adv.registry import DATASETS, LOADERS, MODELS, SAMPLERS, TRANSFORMS, unknown

MANY = 10**9  # more than any computer can hold
FRACTION = between(0, 1)
FACTOR = between(0, 1000)
COUNT = between(1, MANY)
FROM_0 = between(0, MANY)


_OF_TRACKLETS = "self_attack_video"


def _numbers(low: float, high: float, *, whole: bool = False, length: int = 0) -> Check:
    """Allow lists of numbers from low to high; ``length`` 0 = of any length from 1."""
    kinds, words = ((int,), "whole numbers") if whole else ((int, float), "numbers")
    within = between(low, high)

    def check(values: Any) -> str:
        fits = len(values) == length if length else bool(values)
        if fits and all(type(value) in kinds and not within(value) for value in values):
            return ""
        return f"must be a list of {length or 'some'} {words} in [{low:g}, {high:g}]"

    return check


def _names(values: Any) -> str:
    return "" if all(isinstance(value, str) for value in values) else "must be a list of names"


def _given(value: Any) -> str:
    return "" if value else "must not be empty"


CHECKS: dict[str, Check] = {
    **dict.fromkeys(("data.height", "data.width"), between(1, 10_000)),
    **dict.fromkeys(("data.k_tfm", "sampler.num_instances", "sampler.num_cams"), COUNT),
    **dict.fromkeys(("sampler.num_datasets", "video.seq_len", "test.visrank_topk"), COUNT),
    **dict.fromkeys(("train.max_epoch", "train.print_freq"), COUNT),
    **dict.fromkeys(("train.batch_size", "test.batch_size"), between(1, 10**6)),
    **dict.fromkeys(("data.split_id", "train.start_epoch", "train.fixbase_epoch"), FROM_0),
    **dict.fromkeys(("data.sources", "data.targets", "data.transforms"), _names),
    **dict.fromkeys(("train.open_layers", "train.new_layers"), _names),
    "data.type": one_of("image", "video"),
    "data.workers": between(0, 1000),
    "data.norm_mean": _numbers(-1000, 1000, length=3),
    "data.norm_std": _numbers(1e-6, 1000, length=3),
    "data.save_dir": _given,
    "video.sample_method": one_of(*METHODS),
    "video.pooling_method": one_of("avg", "max"),
    "train.optim": one_of("adam", "amsgrad", "sgd", "rmsprop", "radam"),
    "train.lr": between(1e-12, 1000),
    "train.weight_decay": FACTOR,
    "train.base_lr_mult": FACTOR,
    "train.lr_scheduler": one_of("single_step", "multi_step", "cosine"),
    "train.stepsize": _numbers(1, MANY, whole=True),
    "train.gamma": FRACTION,
    "train.seed": between(0, 2**32 - 1),
    "sgd.momentum": FRACTION,
    "sgd.dampening": FRACTION,
    "rmsprop.alpha": FRACTION,
    "adam.beta1": between(0, 0.999999999),
    "adam.beta2": between(0, 0.999999999),
    "loss.name": one_of("softmax", "triplet"),
    "loss.triplet.margin": FACTOR,
    "loss.triplet.weight_t": FACTOR,
    "loss.triplet.weight_x": FACTOR,
    "test.ranks": _numbers(1, MANY, whole=True),
    "test.eval_freq": between(-1, MANY),
    "test.start_eval": FROM_0,
}


def check(cfg: CfgNode) -> None:
    """Refuse settings that torchreid would fail on, sometimes after hours.

    Raises:
        ConfigError: a value out of its range, keys that exclude each other, or weights that do not
            exist.
    """
    resolve(cfg)
    spell_stock_names(cfg)
    for key, check_value in CHECKS.items():
        value = lookup(cfg, key)
        wrong = check_value(value)
        if wrong:
            raise ConfigError(f"config key '{key}' {wrong}, got {value!r}"[:400])
    for key in ("model.load_weights", "model.resume"):
        path = lookup(cfg, key) if _is_file(cfg.model.name) else ""
        fault = weights_fault(path) if path else ""
        if fault:
            raise ConfigError(f"{key} names '{path}', {fault}")
    config.check_finite(cfg)
    _check_together(cfg)


def _is_file(name: str) -> bool:
    """Return whether the weights of a model are one file; some formats have several."""
    return name not in LOADERS or bool(LOADERS.facts(name).get("file"))


def _check_pairs(identities: int) -> None:
    if identities < 2:
        raise ConfigError(
            "a batch of one identity has no negatives for a triplet loss; set train.batch_size to "
            "twice sampler.num_instances or more"
        )


def _check_together(cfg: CfgNode) -> None:
    check_size(cfg.model.name, (cfg.data.height, cfg.data.width))
    if cfg.use_gpu and not gpu_is_there():
        raise ConfigError(
            "use_gpu is True, but PyTorch finds no GPU here; set use_gpu False, or --device cpu"
        )
    if cfg.test.visrank and not cfg.test.evaluate:
        raise ConfigError("test.visrank draws ranking lists of a test; set test.evaluate True, too")
    size, instances = cfg.train.batch_size, cfg.sampler.num_instances
    if cfg.sampler.train_sampler == "RandomIdentitySampler" and size < instances:
        raise ConfigError(
            f"train.batch_size {size} is less than the sampler.num_instances {instances} that "
            "RandomIdentitySampler puts into a batch; raise one or lower the other"
        )
    if cfg.sampler.train_sampler == "RandomIdentitySampler" and cfg.loss.name == "triplet":
        _check_pairs(size // instances)
    _check_video(cfg)
    two = cfg.model.name == "agw_two_stream"
    if two and (cfg.data.type != "image" or cfg.adv.engine != "cross_modality"):
        raise ConfigError(
            "model.name 'agw_two_stream' is a network of images of two modalities; set data.type "
            "image and adv.engine cross_modality"
        )
    frozen = cfg.train.fixbase_epoch > 0
    if cfg.loss.name == "triplet" and cfg.loss.triplet.weight_x == 0 and frozen:
        raise ConfigError(
            "train.fixbase_epoch trains only the classifier, which does not affect a triplet loss "
            "with loss.triplet.weight_x 0; set only one of the two"
        )


def _check_video(cfg: CfgNode) -> None:
    method, video = cfg.video.sample_method, cfg.data.type == "video"
    if video and method in WHOLE and cfg.test.batch_size != 1:
        raise ConfigError(
            f"video.sample_method '{method}' takes whole tracklets, which differ in their number "
            "of frames; set test.batch_size 1"
        )
    if cfg.model.name.startswith(_OF_TRACKLETS) and not video:
        raise ConfigError(
            f"model.name '{cfg.model.name}' is a network of tracklets of two modalities; set "
            "data.type video and, to train it, adv.engine vi_self_attack"
        )
    if video and method not in STOCK_METHODS:
        for name in (*cfg.data.sources, *cfg.data.targets):
            if name not in DATASETS:
                raise ConfigError(
                    f"video.sample_method '{method}' is for visible-infrared sets; for '{name}' "
                    f"take one of {', '.join(STOCK_METHODS)}"
                )


def check_trainable(cfg: CfgNode) -> None:
    """Refuse to train a network from a file.

    Raises:
        ConfigError: ``model.name`` is a format.
    """
    if cfg.model.name in LOADERS:
        raise ConfigError(
            f"model.name '{cfg.model.name}' is a network from elsewhere, which can be "
            "attacked and evaluated, but not trained here; name one of torchreid's"
        )


def check_engine(cfg: CfgNode) -> None:
    """Refuse to train or test a network of tracklets with an engine for images.

    Raises:
        ConfigError: the engine does not support tracklets.
    """
    engines = ("vi_self_attack", "metric_attack") if cfg.test.evaluate else ("vi_self_attack",)
    if cfg.model.name.startswith(_OF_TRACKLETS) and not {*engines} & {*engine_names(cfg)}:
        raise ConfigError(
            f"model.name '{cfg.model.name}' is a network of tracklets of two modalities; set "
            f"adv.engine {' or '.join(engines)}"
        )


@contextlib.contextmanager
def ready(cfg: CfgNode) -> Iterator[None]:
    """Prepare torchreid for a command: register our names, check the config, set the threads.

    Raises:
        ConfigError: a key, name or plugin that cannot be used.
    """
    from torchreid_adv.integration.hooks import installed
    from torchreid_adv.models.cuda import threads

    with installed(), threads(cfg.adv.job.threads):
        config.setup(cfg)
        check_names(cfg)
        limit_workers(cfg)
        yield


def limit_workers(cfg: CfgNode) -> None:
    """Limit ``data.workers`` to the number of cores, unless the user set it.

    PyTorch warns about more processes than cores, and they only slow each other down.
    """
    stock = DEFAULTS["data"]["workers"]
    if cfg.data.workers == stock and not cfg.data.says("workers"):
        cfg.data.workers = min(stock, cores())


def check_names(cfg: CfgNode) -> None:
    """Refuse unregistered names; plugins must be imported before.

    Names that differ from a registered one only by case are corrected in place.

    Raises:
        ConfigError: with the nearest known name.
    """
    spell_stock_names(cfg)
    for key, (kind, known) in _names_of(cfg).items():
        value = lookup(cfg, key)
        needed = value or lookup(config.AdvConfig(DEFAULTS), key, "")  # empty where it may be
        for name in value if isinstance(value, list) else [value] * bool(needed):
            if name not in known:
                raise _of_other_type(cfg, key, name) or unknown(kind, name, known)


def _of_other_type(cfg: CfgNode, key: str, name: str) -> ConfigError | None:
    """Return the error for one of torchreid's sets of another ``data.type``, None for others."""
    other = "image" if cfg.data.type == "video" else "video"
    if name not in stock_names("data.datasets", TABLES[other]):
        return None
    return ConfigError(
        f"{key} names '{name}', a data set of type {other}, and data.type is '{cfg.data.type}'; "
        f"name another one in {key}, or set data.type {other}"
    )


def spell_stock_names(cfg: CfgNode) -> None:
    """Correct the case of torchreid's names, in place."""
    config.spell_names(cfg, {key: known for key, (_, known) in _names_of(cfg).items()})


def _names_of(cfg: CfgNode) -> dict[str, tuple[str, list[str]]]:
    """Return for each key what it names, and the names that torchreid and this package know."""
    stock = stock_names("data.datasets", f"__{cfg.data.type}_datasets")
    sets = list(dict.fromkeys((*stock, *DATASETS)))  # hooks have added ours to torchreid's
    samplers = [*stock_names("data.sampler", "AVAI_SAMPLERS"), *SAMPLERS]
    return {
        "model.name": ("model", [*stock_names("models", NETWORKS), *MODELS, *LOADERS]),
        **dict.fromkeys(("data.sources", "data.targets"), ("data set", sets)),
        **dict.fromkeys(("adv.selection.data", "adv.start.sources"), ("data set", sets)),
        "sampler.train_sampler": ("sampler", samplers),
        "sampler.train_sampler_t": ("sampler", samplers),
        "data.transforms": ("transform", [*STOCK, *TRANSFORMS]),
    }


def cores() -> int:
    """Return how many cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1  # not on Linux
