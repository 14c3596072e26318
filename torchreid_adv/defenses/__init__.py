"""Test-time defenses, pixels to pixels; plugins in `adv.plugins` register their own, too."""

from torchreid_adv.defenses.base import Defense
from torchreid_adv.defenses.defended import Defended, build_defense, configured_defense

__all__ = ["Defended", "Defense", "build_defense", "configured_defense"]
