"""Every ``adv.*`` config key, as declared."""

from __future__ import annotations

from torchreid_adv.keys import (
    attack,
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
from torchreid_adv.keys.declared import ALLOWED, Check, Key, between, one_of

__all__ = ["ALLOWED", "KEYS", "Check", "Key", "between", "one_of"]

KEYS: tuple[Key, ...] = (
    *attack.KEYS,
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
