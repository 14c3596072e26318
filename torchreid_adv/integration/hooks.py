"""``install()`` and ``uninstall()``: our registries, reading and checks inside torchreid."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torchreid_adv import config
from torchreid_adv.integration import (
    datasets,
    downloads,
    engine,
    extractor,
    models,
    reading,
    samplers,
    schedules,
    transforms,
    weights,
)
from torchreid_adv.integration.layout import torchreid_module
from torchreid_adv.integration.patching import Bridge

_bridge = Bridge(
    (
        *reading.REPLACES,
        *transforms.REPLACES,
        *samplers.REPLACES,
        *schedules.REPLACES,
        *datasets.REPLACES,
        *models.REPLACES,
        *weights.REPLACES,
        *downloads.REPLACES,
        *engine.REPLACES,
        *extractor.REPLACES,
    ),
    (*datasets.MIRRORS, *models.MIRRORS),
    module=torchreid_module,
    prepare=config.ensure_setup,
)


def install() -> None:
    """Hook this package into torchreid; calling it again adds what was registered since.

    Our transforms, samplers, data sets and models become names that torchreid knows, unknown names
    become errors, data sets and checkpoints are read safely and checked, nothing is fetched,
    ``Engine.run`` adapts its engine.

    Raises:
        ConfigError: torchreid is not installed, or an entry has the name of one of torchreid's.
    """
    _bridge.apply()
    if _sync not in config.on_setup:
        config.on_setup.append(_sync)


def uninstall() -> None:
    """Take every hook back: torchreid's own functions and tables are as they were."""
    _bridge.revert()
    with contextlib.suppress(ValueError):
        config.on_setup.remove(_sync)


def is_installed() -> bool:
    """Return whether the hooks are in place."""
    return _bridge.applied


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Hold the hooks for a block; they stay when they were there before."""
    present = is_installed()
    install()
    try:
        yield
    finally:
        if not present:
            uninstall()


def _sync(cfg: config.AdvConfig) -> None:
    """Add what plugins have registered (called by ``config.setup`` after it imported them)."""
    for resolve in datasets.CONFIG_RESOLVERS:
        resolve(cfg)
    _bridge.sync()
