"""What ``adv.engine: meta_defense`` may be asked for, said before anything is loaded."""

from __future__ import annotations

from typing import Any

from torch.nn.parallel import DistributedDataParallel

from torchreid_adv.config import AdvConfig, lookup, plain
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.keys import KEYS

USED = {
    "training": ("batchnorm", "evaluate", "report", "weights"),
    "meta": (
        "perturbation",
        "learning",
        "virtual",
        "iterations",
        "ratio",
        "defense_order",
        "inner_lr",
        "clip",
    ),
}
OF_META = ("defense_order", "inner_lr", "clip")  # no part without a meta-test


def check_meta_defense(engine: Any, cfg: AdvConfig) -> None:
    """Refuse what MetaDefense does not do.

    Args:
        engine: torchreid's, with the mixins.
        cfg: the config.

    Raises:
        ConfigError: the first of it, and how to mend it.
    """
    chosen = cfg.adv.meta
    if engine.datamanager.data_type != "image":
        raise ConfigError("adv.engine meta_defense is for data.type image, got video")
    if cfg.adv.attack.name != "universal":
        raise ConfigError(
            "adv.engine meta_defense trains against a universal perturbation that was learned "
            "before; set adv.attack.name universal and name its file in adv.attack.weights"
        )
    for section in USED:
        _check_unused(cfg, section, without=OF_META if chosen.learning != "meta" else ())
    if chosen.learning == "virtual":
        raise ConfigError(
            "adv.engine meta_defense trains a network for data.sources; to train on the virtual "
            "set alone, name it there and set adv.meta.learning source"
        )
    if chosen.learning == "joined" and chosen.virtual not in engine.datamanager.sources:
        raise ConfigError(
            f"adv.meta.learning joined trains on both sets with one head; name '{chosen.virtual}' "
            "in data.sources, too, so that torchreid builds it"
        )
    if chosen.learning == "meta" and not lookup(cfg, "test.evaluate", False):
        _check_meta(engine, cfg)


def _check_meta(engine: Any, cfg: AdvConfig) -> None:
    if isinstance(engine.model, DistributedDataParallel) or hasattr(engine, "team"):
        raise ConfigError(
            "adv.meta.learning meta trains in one process, on one GPU; start it without torchrun"
        )
    stock = torchreid_module("engine")
    kinds = (stock.ImageSoftmaxEngine, stock.ImageTripletEngine)
    known = isinstance(engine, kinds) and any(
        kind.forward_backward is _own_step(engine) for kind in kinds
    )
    if not known:
        raise ConfigError(
            "adv.meta.learning meta takes the losses of torchreid's softmax and triplet engines "
            f"for images, and {type(engine).__name__} has a step of its own; set adv.meta.learning "
            "source, which leaves that to the engine"
        )
    sampler = lookup(cfg, "sampler.train_sampler", "")
    mined = isinstance(engine, stock.ImageTripletEngine) and engine.weight_t > 0
    if mined and sampler == "RandomSampler":
        raise ConfigError(
            "a triplet loss needs several images of an identity in a batch; set "
            "sampler.train_sampler RandomIdentitySampler"
        )


def _own_step(engine: Any) -> Any:
    """Return the ``forward_backward`` of the engine's own class, below the mixins."""
    ours = __name__.split(".")[0]
    kinds = [k for k in type(engine).__mro__ if k.__module__.split(".")[0] != ours]
    return next(vars(k)["forward_backward"] for k in kinds if "forward_backward" in vars(k))


def _check_unused(cfg: AdvConfig, section: str, without: tuple[str, ...]) -> None:
    for key in KEYS:
        part, _, name = key.name.partition(".")
        idle = part == section and (name not in USED[section] or name in without)
        if idle and plain(lookup(cfg, f"adv.{key.name}")) != plain(key.default):
            reason = " without adv.meta.learning meta" if name in without else ""
            raise ConfigError(
                f"adv.engine meta_defense does not use adv.{key.name}{reason}; leave it "
                f"{key.default!r}"
            )
