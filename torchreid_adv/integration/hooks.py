"""``install()`` and ``uninstall()``: our registries, readers and checks inside torchreid."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from torch import Tensor
from torch.optim.lr_scheduler import ChainedScheduler, LinearLR

from torchreid_adv import config
from torchreid_adv.errors import ConfigError
from torchreid_adv.integration import (
    datasets,
    downloads,
    engine,
    models,
    reading,
    samplers,
    transforms,
    weights,
)
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.patching import Bridge, Replace
from torchreid_adv.registry import TEST_TRANSFORMS


def _make_schedule(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Put the warm-up of ``adv.schedule.warmup`` before torchreid's own decay."""
    signature = inspect.signature(stock)

    @wraps(stock)
    def build_lr_scheduler(*args: Any, **kwargs: Any) -> Any:
        """Build torchreid's scheduler; its initial rates are multiplied by 1/(w+1), 2/(w+1)..."""
        scheduler, warmup = stock(*args, **kwargs), config.current().adv.schedule.warmup
        if not warmup:
            return scheduler
        optimizer = signature.bind(*args, **kwargs).arguments["optimizer"]
        rising = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        return ChainedScheduler([scheduler, rising], optimizer=optimizer)

    return build_lr_scheduler


_SCHEDULE = Replace(("optim", "optim.lr_scheduler"), "build_lr_scheduler", _make_schedule)


_MARK = "_defended_by_torchreid_adv"


def _make_init(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Let torchreid's FeatureExtractor apply ``adv.defense.name``, too."""

    @wraps(stock)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        stock(self, *args, **kwargs)
        cfg = config.current()
        if cfg.adv.defense.name:
            TEST_TRANSFORMS.get("defense")(self, cfg)
            setattr(self, _MARK, True)

    return __init__


def _make_call(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def __call__(self: Any, input: Any) -> Any:
        if isinstance(input, Tensor) and _MARK in vars(self):
            raise ConfigError(
                "this FeatureExtractor has a defense of stored pixels, and torchreid takes tensors "
                "as normalized input already; pass file names or arrays, or leave adv.defense.name "
                "empty"
            )
        return stock(self, input)

    return __call__


_HOME = ("utils.feature_extractor",)
_EXTRACTOR = (
    Replace(_HOME, "FeatureExtractor.__init__", _make_init),
    Replace(_HOME, "FeatureExtractor.__call__", _make_call, prepare=False),
)


_bridge = Bridge(
    (
        *reading.REPLACES,
        *transforms.REPLACES,
        *samplers.REPLACES,
        _SCHEDULE,
        *datasets.REPLACES,
        *models.REPLACES,
        *weights.REPLACES,
        *downloads.REPLACES,
        *engine.REPLACES,
        *_EXTRACTOR,
    ),
    (*datasets.MIRRORS, *models.MIRRORS),
    module=torchreid_module,
    prepare=config.ensure_setup,
)


def install() -> None:
    """Hook this package into torchreid; calling it again adds new registrations.

    Our transforms, samplers, data sets and models become names that torchreid knows, unknown names
    become errors, data sets and checkpoints are read safely and checked, nothing is downloaded, and
    ``Engine.run`` adapts its engine.

    Raises:
        ConfigError: torchreid is not installed, or an entry has a name that torchreid uses.
    """
    _bridge.apply()
    if _sync not in config.on_setup:
        config.on_setup.append(_sync)


def uninstall() -> None:
    """Remove every hook: torchreid's functions and tables are restored."""
    _bridge.revert()
    with contextlib.suppress(ValueError):
        config.on_setup.remove(_sync)


def is_installed() -> bool:
    """Tell whether the hooks are installed."""
    return _bridge.applied


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Install the hooks for a block; hooks that were installed before stay."""
    present = is_installed()
    install()
    try:
        yield
    finally:
        if not present:
            uninstall()


def _sync(cfg: config.AdvConfig) -> None:
    """Add new registrations of plugins (called by ``config.setup`` after importing them)."""
    for resolve in datasets.CONFIG_RESOLVERS:
        resolve(cfg)
    _bridge.sync()
