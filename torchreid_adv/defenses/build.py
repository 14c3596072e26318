"""Defenses by name, from Python or from a config."""

from __future__ import annotations

from typing import Any

from torchreid_adv.config import AdvConfig, defense_options
from torchreid_adv.defenses.base import Defense
from torchreid_adv.errors import ConfigError
from torchreid_adv.registry import DEFENSES


def build_defense(name: str, **options: Any) -> Defense:
    """Build a registered defense.

    Args:
        name: ``circuitous_scaling``, ``rrp_xie``, ``jpeg``...
        options: its keywords.

    Raises:
        ConfigError: unknown name or option, or a value that cannot be.

    Example:
        >>> defense = build_defense("circuitous_scaling", preset="jad")
    """
    defense = DEFENSES.build(name, **options)
    if not isinstance(defense, Defense):
        raise ConfigError(f"what is registered as the defense '{name}' builds no Defense")
    return defense


def configured_defense(cfg: AdvConfig) -> Defense | None:
    """Build the defense of ``adv.defense.*``; None where none is named."""
    if not cfg.adv.defense.name:
        return None
    return build_defense(cfg.adv.defense.name, **defense_options(cfg))
