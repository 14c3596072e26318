"""Every ``adv.*`` config key, as declared."""

from __future__ import annotations

from torchreid_adv.config.keys import (
    attack,
    corruption,
    defense,
    meta,
    reports,
    run,
    start,
    tables,
    training,
    video,
    virtual,
)
from torchreid_adv.config.keys.key import ALLOWED, Check, Key, between, one_of

__all__ = [
    "ALLOWED",
    "KEYS",
    "PATHS",
    "STOCK_LISTS",
    "WRITTEN",
    "Check",
    "Key",
    "between",
    "one_of",
]

KEYS: tuple[Key, ...] = (
    *attack.KEYS,
    *corruption.KEYS,
    *defense.KEYS,
    *run.KEYS,
    *start.KEYS,
    *tables.KEYS,
    *training.KEYS,
    *meta.KEYS,
    *video.KEYS,
    *reports.KEYS,
    *virtual.KEYS,
)

# torchreid's own keys, as far as their default does not say it all
STOCK_PATHS = ("data.root", "data.save_dir", "model.load_weights", "model.resume")
STOCK_LISTS: dict[str, type] = dict.fromkeys(
    ("data.sources", "data.targets", "data.transforms", "train.open_layers", "train.new_layers"),
    str,
)

# keywords of registered entries that are files, see adv.distances and adv.transforms
OPTION_PATHS = (
    "adv.distances.mahalanobis.matrix",
    "adv.distances.mahalanobis.factor",
    "adv.transforms.recolor.weights",
)

# folders that a run makes
WRITTEN = ("data.save_dir", "adv.training.folder")

# keys whose value names files or folders; "~" is written out in all of them
PATHS = frozenset([*STOCK_PATHS, *OPTION_PATHS, *(f"adv.{key.name}" for key in KEYS if key.path)])
