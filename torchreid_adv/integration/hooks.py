"""``install()`` and ``uninstall()``: our registries, readers and checks inside torchreid."""

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
