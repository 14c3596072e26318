"""Which parts a video network has: in the words of the paper's table 1, and of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from torchreid_adv.errors import ConfigError, suggest

BASELINE, WHOLE = "B", "B+ASAM+ADM+FRM-STIG"
_GUIDANCE = {"FRM-STIG": "full", "FRM-STIG*": "no_spatial", "FR-E-TI": "temporal"}
_WORDS: dict[str, tuple[str, Any]] = {"ASAM": ("attack", True), "ADM": ("defense", True)}
_WORDS |= {word: ("guidance", mode) for word, mode in _GUIDANCE.items()}


def parts_of(row: str) -> dict[str, Any]:
    """Return the keywords of :class:`SelfAttackVideo` for a row such as ``B+ASAM+ADM``.

    Args:
        row: parts after the baseline ``B``; FRM-STIG* is without the LSTM over stripes.

    Raises:
        ConfigError: another word.
    """
    parts: dict[str, Any] = {"attack": False, "defense": False, "guidance": "none"}
    first, *words = row.split("+")
    if first != BASELINE:
        raise ConfigError(f"a row begins with the baseline, as '{WHOLE}' does, got '{row}'")
    for word in words:
        if word not in _WORDS:
            raise ConfigError(f"unknown part '{word}' of '{row}'{suggest(word, _WORDS)}")
        name, value = _WORDS[word]
        parts[name] = value
    return parts


def parts_in(names: Iterable[str]) -> dict[str, Any]:
    """Return the same for the network that a checkpoint's tensors belong to.

    Args:
        names: of the tensors; what wrappers put before them is ignored.
    """
    parts = [name.replace("/", ".").split(".") for name in names]
    there = {part for name in parts for part in name}
    there |= {".".join(pair) for name in parts for pair in pairwise(name)}
    guidance = "none"
    if "guidance" in there:
        guidance = "temporal"
        if "guidance.gate" in there:
            guidance = "full" if "guidance.spatial" in there else "no_spatial"
    return {
        "attack": "attacker" in there,
        "defense": "cross_middle" in there,
        "guidance": guidance,
    }
