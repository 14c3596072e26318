"""The parameters that each step of Algorithm 1 updates."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from torch import nn

from torchreid_adv.errors import ConfigError, suggest
from torchreid_adv.models.self_attack.network import SelfAttackVideo

STEMS = ("stem_visible", "stem_infrared")
DEFENDER = ("defender", "defender_last", "cross_middle", "cross_last", "neck")
GROUPS: dict[str, tuple[str, ...]] = {
    "stems": STEMS,  # E^V, E^I
    "attacker": ("attention", "attacker", "neck_attack"),  # E_att with IMSA and its BN
    "defender": DEFENDER,  # E_def with CMCA and its BN
    "guidance": ("guidance",),  # E_lstm
    "classifier_attack": ("classifier_attack",),  # W_att
    "classifier": ("classifier",),  # W_def
    "classifier_parts": ("neck_parts", "classifier_parts"),  # W_se, with its BN if there is one
}
_MOVED = {
    "defense": ("stems", "defender", "classifier"),
    "parts": ("stems", "defender", "guidance", "classifier_parts"),
    "attack": ("stems", "attacker", "classifier_attack"),
    "all": tuple(GROUPS),
}


def moved(step: str, *, fixed: bool) -> tuple[str, ...]:
    """Return the groups that a step updates.

    Args:
        step: ``defense``, ``parts``, ``attack`` or ``all``.
        fixed: second part of the training: the classifier is frozen and the defense updates only
            the defender.
    """
    if not fixed:
        return _MOVED[step]
    if step == "defense":
        return ("defender",)
    return tuple(group for group in _MOVED[step] if group != "classifier")


def group_parameters(model: SelfAttackVideo, groups: tuple[str, ...]) -> list[nn.Parameter]:
    """Return the parameters of some groups, without modules that are switched off."""
    children = {name: child for name, child in model.named_children() if child is not None}
    names = [name for group in groups for name in GROUPS[group] if name in children]
    return [parameter for name in names for parameter in children[name].parameters()]


BASELINE, WHOLE = "B", "B+ASAM+ADM+FRM-STIG"
_GUIDANCE = {"FRM-STIG": "full", "FRM-STIG*": "no_spatial", "FR-E-TI": "temporal"}
_WORDS: dict[str, tuple[str, Any]] = {"ASAM": ("attack", True), "ADM": ("defense", True)}
_WORDS |= {word: ("guidance", mode) for word, mode in _GUIDANCE.items()}


def parts_of(row: str) -> dict[str, Any]:
    """Return the keywords of :class:`SelfAttackVideo` for a row such as ``B+ASAM+ADM``.

    Args:
        row: parts after the baseline ``B``; FRM-STIG* has no LSTM over stripes.

    Raises:
        ConfigError: a part is unknown.
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
    """Return the same keywords, derived from a checkpoint's tensors.

    Args:
        names: names of the tensors; prefixes of wrappers are ignored.
    """
    parts = [name.replace("/", ".").split(".") for name in names]
    components = {part for name in parts for part in name}
    components |= {".".join(pair) for name in parts for pair in pairwise(name)}
    guidance = "none"
    if "guidance" in components:
        guidance = "temporal"
        if "guidance.gate" in components:
            guidance = "full" if "guidance.spatial" in components else "no_spatial"
    return {
        "attack": "attacker" in components,
        "defense": "cross_middle" in components,
        "guidance": guidance,
        "parts_neck": "classifier" if "neck_parts" in components else "none",
    }
